"""What the commands do with stores, bundles and runs, each thing once."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from svdaudio.cli import INTERRUPTED
from svdaudio.cli.output import error_console, quiet_stdout, remark, seconds_text
from svdaudio.errors import InputError

if TYPE_CHECKING:
    from flows.clusters import RunnerName
    from svdaudio.checkpoints.bundle import Bundle, Models
    from svdaudio.config import Resolved, RunConfig
    from svdaudio.engine.journal import Event, Progress
    from svdaudio.engine.plan import Request
    from svdaudio.store import RunRecord, Store
    from svdaudio.views.report import Report, RunArtifacts


def open_store(location: str | None) -> Store:
    """The store that was asked for, else the checkout's."""
    from svdaudio import store
    from svdaudio.places import default_store

    return store.open_store(location if location is not None else default_store())


def open_bundle(name: str) -> Bundle:
    """A checkpoint bundle by its name. Reads its description alone."""
    from svdaudio.checkpoints.bundle import Bundle

    return Bundle.open(name)


def open_models(bundle: Bundle, config: RunConfig) -> Models:
    """The models of a bundle. Nothing is loaded before it is needed."""
    from svdaudio.checkpoints.bundle import Models

    return Models.of(bundle, config)


def resolve_config(
    config_file: Path | None, overrides: Sequence[str] | None, given: Mapping[str, Any]
) -> tuple[Resolved, Bundle]:
    """The configuration from every source, and the bundle it names. Remarks go to standard error."""
    from svdaudio.config import resolve

    opened: dict[str, Bundle] = {}

    def settings(name: str) -> Mapping[str, Any]:
        opened[name] = open_bundle(name)
        return opened[name].settings

    options = {name: value for name, value in given.items() if value is not None and value != []}
    resolved = resolve(config_file=config_file, overrides=overrides or (), given=options, bundle_settings=settings)
    for text in resolved.remarks:
        remark(text)
    return resolved, opened[resolved.config.bundle]


def check_out(out: Path | None, *, kind: str | None = None, inputs: Iterable[Path] = ()) -> None:
    """As `svdaudio.files.check_place`, if there is an `out`."""
    from svdaudio.files import check_place

    if out is not None:
        check_place(out, kind=kind, inputs=inputs)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A request with all that carrying it out needs."""

    request: Request
    store: Store
    bundle: Bundle
    models: Models

    def artifacts(self, run: RunRecord) -> RunArtifacts:
        """The arrays of a run; what is damaged or gone is computed anew."""
        from svdaudio.engine.run import read_outputs
        from svdaudio.views.report import RunArtifacts

        return RunArtifacts(run, lambda node: read_outputs(self.request, self.store, self.models, run=run, node=node))

    @property
    def out_root(self) -> Path:
        """Where the files of runs go."""
        from svdaudio.places import out_root

        return out_root(self.store.location)


@dataclass(frozen=True, kw_only=True)
class How:
    """What computes the stages of a run.

    Raises:
        InputError: what was asked for contradicts itself.
    """

    prefect: bool = False
    runner: RunnerName | None = None
    cluster: str | None = None
    """Address of a cluster."""

    def __post_init__(self) -> None:
        if self.prefect and self.runner == "in-process":
            raise InputError("--prefect and --runner in-process contradict each other", fix="give one of them")
        if self.cluster is not None and self.runner not in ("dask", "ray"):
            raise InputError("--cluster needs a runner that has one", fix="give --runner dask or --runner ray with it")

    @property
    def name(self) -> RunnerName:
        """The runner: what was asked for, else what the environment has."""
        asked = self.prefect or bool(os.environ.get("PREFECT_API_URL"))
        return self.runner or ("prefect" if asked else "in-process")


IN_PROCESS_OR_PREFECT = How()


def carry_out(work: Work, run: RunRecord, how: How = IN_PROCESS_OR_PREFECT) -> RunRecord:
    """Execute a run with progress on standard error, in process, through Prefect, or on a cluster.

    Raises:
        typer.Exit: with 130, after Ctrl-C.
    """
    log_to_stderr()
    execute_run = _executor(how, work)
    run = replace(run, runner=how.name)
    try:
        with quiet_stdout(), _progress() as progress:
            return execute_run(work.request, work.store, work.models, run=run, progress=progress)
    except KeyboardInterrupt:
        remark(f"interrupted; what is done is kept, and `svdaudio resume {run.id}` goes on")
        raise typer.Exit(INTERRUPTED) from None


def _executor(how: How, work: Work) -> Callable[..., RunRecord]:
    if how.name == "in-process":
        from svdaudio.engine.run import execute_run

        return execute_run
    from flows.prefect_runner import execute_run as through_prefect

    through_prefect = partial(through_prefect, report=partial(_written, work))
    if how.name == "prefect":
        return through_prefect
    from flows.clusters import Cluster

    return partial(through_prefect, cluster=Cluster(kind=how.name, address=how.cluster))


def hand_over(
    work: Work, run: RunRecord, *, out: Path | None, sound: str, pictures: bool = True
) -> tuple[RunRecord, Report]:
    """Write the files of a finished run, enter them into its record, and copy the wanted sound to `out`.

    The report names the copy; the record, which has to stay true, names the run's own file.

    Raises:
        InputError: the run makes no such sound.
    """
    from svdaudio.files import write_bytes

    with quiet_stdout():
        report = _written(work, run, pictures=pictures)
    run = work.store.runs.write(replace(run, results=report.results()))
    if out is not None:
        if sound not in report.audio:
            made = ", ".join(report.audio) or "no sound"
            raise InputError(f"run {run.id} has no sound '{sound}' for --out", got=made, fix="leave --out away")
        write_bytes(out.absolute(), report.audio[sound].read_bytes())
        report = replace(report, audio={**report.audio, sound: out.absolute()})
    return run, report


def _written(work: Work, run: RunRecord, *, pictures: bool = True) -> Report:
    """The files of a run; what is there already is not written again."""
    from svdaudio.views.report import write_report

    return write_report(
        work.artifacts(run), root=work.out_root, class_names=class_names(work.bundle), pictures=pictures
    )


def class_names(bundle: Bundle) -> tuple[str, ...]:
    """Class names of the bundle's tagger, in the order of its scores."""
    return tuple(bundle.classes("tagger"))


def object_names(bundle: Bundle) -> tuple[str, ...]:
    """Class names of the bundle's detector, by class number."""
    return tuple(bundle.classes("detector"))


def find_run(store: Store, name: str | None, *, wanted: Callable[[RunRecord], bool] | None = None) -> RunRecord:
    """A run by its name; without one the newest that is `wanted`.

    Raises:
        RunError: there is none.
    """
    from svdaudio.errors import RunError

    if name is not None:
        return store.runs.load(name)
    for run in store.runs:
        if wanted is None or wanted(run):
            return run
    raise RunError(
        "there is no run to go on with", got=f"only finished runs in {store.location}", fix="`svdaudio runs` lists them"
    )


def run_state(store: Store, run: RunRecord) -> str:
    """The state of a run, knowing that a process that died can no longer say so."""
    return "interrupted" if run.state == "running" and not store.runs.is_active(run.id) else run.state


def is_left_undone(store: Store, run: RunRecord) -> bool:
    """Whether there is something to go on with: stages, or sounds that were computed and never written."""
    unwritten = run.state == "finished" and not run.results and any(name.endswith(".scores") for name in run.targets)
    return unwritten or run_state(store, run) in ("failed", "interrupted")


def log_to_stderr() -> None:
    """Warnings of this project and of libraries: one line each on standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="note: %(message)s")


@contextlib.contextmanager
def _progress() -> Generator[Progress]:
    """A moving bar for somebody who watches; for a log, a line for each stage that was computed."""
    if not sys.stderr.isatty():
        yield _tell_line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = error_console()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("looking up", total=None)

        def tell(event: Event) -> None:
            bar.update(task, total=event.n_total, completed=event.n_done)
            if event.kind == "started":
                bar.update(task, description=event.node)
            else:
                line = _line(event)
                if line:
                    console.print(line, markup=False)

        yield tell


def _tell_line(event: Event) -> None:
    line = _line(event)
    if line:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _line(event: Event) -> str | None:
    """What to say of an event; nothing of a hit, of what begins, or of a failure, which is told as the error."""
    if event.kind == "waiting":
        return f"{event.node}: {event.text}"
    if event.kind == "note":
        return f"note: {event.node}: {event.text}"
    entry = event.entry
    if event.kind == "finished" and entry is not None and entry.status == "computed":
        return f"[{event.n_done}/{event.n_total}] {event.node}: {seconds_text(entry.seconds)} ({entry.reason})"
    return None
