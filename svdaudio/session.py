"""The single entry point to plan, run, resume and inspect any method, for the command line, flows and notebooks.

    session = Session("artifacts")
    request = session.request("baseline", ["dog_cat.jpg"], {"generate.steps": 20})
    for node in session.plan(request):
        print(node.name, node.status, node.reason)
    result = session.run(request)
    print(result.scores["original"], result.audio["original"])
    tokens = session.arrays(result.run)["original.tokens"]["tokens"]     # [257, 768]

A session imports torch only when something is computed.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio import store as stores
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.config import RunConfig, resolve
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.batch import BatchExecutor, BatchWork, OutputWriter, execute_batch, run_batch
from svdaudio.engine.batch import Progress as BatchProgress
from svdaudio.engine.batch import no_progress as no_batch_progress
from svdaudio.engine.batches import KIND as BATCH
from svdaudio.engine.batches import Batch, BatchPolicy, Job, Prepared, open_batch, reopen_batch
from svdaudio.engine.body import ModelSource
from svdaudio.engine.journal import Progress
from svdaudio.engine.method import Method
from svdaudio.engine.plan import NodeDifference, PlannedNode, compare_runs
from svdaudio.engine.plan import plan as plan_request
from svdaudio.engine.provenance import UNKNOWN_WORKFLOW, Workflow
from svdaudio.engine.request import (
    BundleFacts,
    FileCache,
    Request,
    check,
    files_of,
    new_run,
    recorded_config,
    resumed_request,
)
from svdaudio.engine.run import RunWork, Stopping, execute_run, never_stop
from svdaudio.errors import ConfigError, RunError
from svdaudio.files import write_bytes
from svdaudio.methods import find_method, other_parameters
from svdaudio.pages.kernel import quiet_tqdm
from svdaudio.places import default_store, out_root
from svdaudio.sounds.writing import check_sound_place
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.views.outputs import Outputs, arrays_of, check_result, copy_result, report_of, sound_bytes
from svdaudio.views.report import Report, draw_nodes

if TYPE_CHECKING:
    from svdaudio.views.comparison import Comparison

ENVIRONMENT_STORE = "SVDAUDIO_STORE"
PAGE = "report.html"
"""File name of a run's report, in the folder of the run's files."""


class Runner:
    """Computes the stages of runs in this process. Subclasses compute them elsewhere: Prefect, resident processes."""

    name = "in-process"
    """Entered into the record of each run."""

    def execute(self, work: RunWork, progress: Progress, stopping: Stopping) -> RunRecord:
        """Execute every node of a run; see `svdaudio.engine.run.execute_run`."""
        return execute_run(work, progress, stopping)

    def report(self, work: RunWork, *, root: Path, pictures: bool) -> Report:
        """Write the files of a finished run; see `svdaudio.views.outputs.report_of`."""
        return report_of(work, root=root, pictures=pictures)

    def batch_executor(self, title: str) -> BatchExecutor:
        """The function that executes jobs of the batch of that title."""
        del title
        return execute_batch


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run and the files written for it."""

    run: RunRecord
    report: Report

    @property
    def audio(self) -> Mapping[str, Path]:
        """Name of the sound → WAV file."""
        return self.report.audio

    @property
    def scores(self) -> Mapping[str, Mapping[str, float]]:
        """Name of the sound → class → score, 0 to 1."""
        return self.report.scores

    def _repr_html_(self) -> str:
        """Verdict, players, pictures and scores, for a notebook."""
        from svdaudio.pages.notebook import result_html

        return result_html(self.run, self.report)


OpenBundle = Callable[[str], Any]
"""Finds a bundle by name, as `Bundle.open` does."""
OpenModels = Callable[[Any, RunConfig], ModelSource]
"""Opens the models of a bundle, as `Models.of` does."""


class Session:
    """A store, bundles with their models, and a runner, with all operations on them.

    Models are opened once for each bundle and set of `execution` parameters, and shared by the session's requests.

    Args:
        store: a store, or its location: a folder, or `s3://bucket/prefix`. By default the location in SVDAUDIO_STORE,
            else the folder `artifacts` of the checkout or, outside a checkout, of the current folder.
        runner: computes the stages; by default in this process.
        open_bundle: finds bundles by name.
        open_models: opens the models of a bundle.
        quietly: a context around everything that may print, for example to redirect standard output.

    Raises:
        StoreError: the location is not a valid store.
    """

    def __init__(
        self,
        store: Store | str | Path | None = None,
        *,
        runner: Runner | None = None,
        open_bundle: OpenBundle = Bundle.open,
        open_models: OpenModels = Models.of,
        quietly: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        if store is None or isinstance(store, str | Path):
            location = store if store is not None else os.environ.get(ENVIRONMENT_STORE) or default_store()
            store = stores.open_store(location)
        self.store: Store = store
        self.runner: Runner = runner or Runner()
        self._open_bundle = open_bundle
        self._open_models = open_models
        self._quietly = quietly
        self._bundles: dict[str, BundleFacts] = {}
        self._keeps_models = False
        self._models: dict[tuple[object, ...], ModelSource] = {}

    def with_runner(self, runner: Runner) -> Session:
        """A session with the same store, bundles and models, but another runner."""
        other = copy.copy(self)
        other.runner = runner
        return other

    # -- requests --------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str | Method,
        files: Mapping[str, Path | str] | Sequence[Path | str],
        settings: Mapping[str, Any] | None = None,
        *,
        config_file: Path | None = None,
        overrides: Sequence[str] = (),
        variant: str | None = None,
        targets: tuple[str, ...] = (),
        source: str = "settings",
        cache: FileCache | None = None,
    ) -> Request:
        """A resolved and checked request. Nothing is computed yet.

        Args:
            method: a method or its name.
            files: by name, or in the order in which the method takes them.
            settings: dotted parameter → value; None means not given.
            config_file: a TOML file with parameters; `settings` take precedence.
            overrides: texts such as `svd.k=7`.
            variant: name of a set of targets of the method ("no_baselines").
            targets: nodes to compute instead of the method's targets.
            source: origin of `settings`, for errors and the record.
            cache: a cache of file checks to share with other requests.

        Raises:
            ConfigError: a method, variant, parameter or target is unknown, or a value is invalid.
            InputError: a file or click cannot be used.
            CheckpointError: the bundle does not exist, or lacks a model that is needed.
        """
        if isinstance(method, str):
            method = find_method(method)
        resolved = resolve(
            method.config,
            config_file=config_file,
            overrides=overrides,
            given={name: value for name, value in (settings or {}).items() if value is not None and value != []},
            given_source=source,
            bundle_settings=lambda name: self.bundle(name).settings,
            elsewhere=other_parameters(method),
        )
        if variant is not None:
            if variant not in method.variants:
                known = " or ".join(method.variants) or "none"
                raise ConfigError(f"unknown variant '{variant}' of {method.name}", expected=known)
            targets = method.default_targets(resolved.config, variant)
        paths = (
            {name: Path(path) for name, path in files.items()}
            if isinstance(files, Mapping)
            else [Path(path) for path in files]
        )
        configured = {name: file.path for name, file in method.configured_files(resolved.config).items()}
        request = Request(
            method=method,
            files=files_of(method, paths, configured),
            resolved=resolved,
            bundle=self.bundle(resolved.config.bundle),
            targets=targets,
            cache=cache or FileCache(),
        )
        return check(request, self.store)

    def request_of(self, run: RunRecord) -> Request:
        """The request of an earlier run, to continue it or to recompute lost artifacts.

        Raises:
            RunError: one of its files has changed, or its record was written by an incompatible version.
        """
        return resumed_request(run, self.method_of(run), self.bundle(run.bundle))

    def request_like(self, run: RunRecord, settings: Mapping[str, Any], *, source: str = "settings") -> Request:
        """The request of an earlier run with other values of some parameters, for the same sounds.

        Args:
            run: the earlier run.
            settings: dotted parameter → value.
            source: origin of `settings`, for errors and the record.

        Raises:
            RunError: as for `request_of`.
            ConfigError: a parameter is unknown or a value is invalid.
        """
        before = self.request_of(run)
        method = before.method
        resolved = resolve(method.config, given={**before.config.flat(), **settings}, given_source=source)
        sources = {**resolved.sources, **run.sources, **dict.fromkeys(settings, source)}
        targets = run.targets
        for variant in (None, *method.variants):
            if run.targets == method.default_targets(before.config, variant):
                targets = method.default_targets(resolved.config, variant)
        request = replace(before, resolved=replace(resolved, sources=sources), targets=targets)
        return check(request, self.store)

    def plan(self, request: Request) -> list[PlannedNode]:
        """Which nodes of a request are cached, which would run, and why; in the order of execution."""
        return plan_request(request, self.store)

    # -- running ---------------------------------------------------------------------------------------------------

    def new_run(self, request: Request, run_id: str | None = None) -> RunRecord:
        """The record of a run that is about to start, for callers that need its id first. Nothing is written yet."""
        return new_run(request, runner=self.runner.name, run_id=run_id)

    def run(
        self,
        request: Request,
        *,
        run: RunRecord | None = None,
        progress: Progress | None = None,
        stopping: Stopping = never_stop,
        record: bool = True,
        pictures: bool = True,
        out: Path | None = None,
        rate_hz: int | None = None,
    ) -> Result:
        """Compute a request and write its sounds, scores and pictures.

        Args:
            request: from `request`.
            run: its record from `new_run`, if it exists already.
            progress: receives every event. By default a notebook shows a progress line; `no_progress` shows nothing.
            stopping: called between stages; if true, the run ends there as "interrupted", without a report.
            record: keep the run in the store. If false, only artifacts are written, no earlier run is read, and the
                report is empty; for trial clicks and slider moves, whose results `arrays` returns.
            pictures: also draw the plots of the report.
            out: file for a copy of the main sound: .wav, .flac, .ogg or .mp3.
            rate_hz: sample rate of the copy: 22 050, 44 100 or 48 000; by default that of the run.

        Raises:
            InputError: `out` or `rate_hz` is invalid, or the request makes no sound to copy; nothing was computed.
            SvdAudioError: an error of a stage, which is also in the record; `resume` continues the run.
        """
        run = run or self.new_run(request)
        return self._run(request, run, progress, stopping, record=record, pictures=pictures, out=out, rate_hz=rate_hz)

    def resume(
        self,
        run: RunRecord | str,
        *,
        progress: Progress | None = None,
        stopping: Stopping = never_stop,
        pictures: bool = True,
        out: Path | None = None,
        rate_hz: int | None = None,
    ) -> Result:
        """Continue a run that failed or was interrupted; finished stages are cached.

        Args:
            run: the run or its name.
            progress: receives every event, as for `run`.
            stopping: called between stages; if true, the run ends there as "interrupted".
            pictures: also draw the plots of the report.
            out: file for a copy of the main sound: .wav, .flac, .ogg or .mp3.
            rate_hz: sample rate of the copy: 22 050, 44 100 or 48 000; by default that of the run.

        Raises:
            RunError: the run does not exist, or its files have changed.
        """
        if isinstance(run, str):
            run = self.store.runs.load(run)
        request = check(self.request_of(run), self.store)
        run = replace(run, runner=self.runner.name)
        return self._run(request, run, progress, stopping, record=True, pictures=pictures, out=out, rate_hz=rate_hz)

    def _run(
        self,
        request: Request,
        run: RunRecord,
        progress: Progress | None,
        stopping: Stopping,
        *,
        record: bool,
        pictures: bool,
        out: Path | None,
        rate_hz: int | None,
    ) -> Result:
        if out is not None:
            check_sound_place(out, rate_hz)
            check_result(request)
        if progress is None:
            from svdaudio.pages.progress import default_progress

            progress = default_progress()
        work = self._work(request, run, record=record)
        with self._quietly():
            run = self.runner.execute(work, progress, stopping)
            if run.state != "finished" or not record:
                return Result(run=run, report=Report(folder=self.out_root))
            report = self._report(request, run, pictures=pictures)
        run = self.store.runs.write(replace(run, results=report.results()))
        if out is not None:
            report = copy_result(report, run, request.method, out, rate_hz)
        return Result(run=run, report=report)

    # -- results ---------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> Iterator[RunRecord]:
        """Every readable run, newest first."""
        return iter(self.store.runs)

    def load(self, name: str) -> RunRecord:
        """A run by its id, an unambiguous prefix or suffix of its id, or "latest"."""
        return self.store.runs.load(name)

    def find_unfinished(self, name: str | None = None) -> RunRecord:
        """A run to resume: the named one, else the newest unfinished one.

        Raises:
            RunError: the run does not exist.
        """
        if name is not None:
            return self.store.runs.load(name)
        n_runs = 0
        for run in self.store.runs:
            if is_unfinished(self.store, run):
                return run
            n_runs += 1
        raise RunError(
            "no run to resume",
            got=f"only finished runs in {self.store.location}" if n_runs else f"no run in {self.store.location}",
            fix="`svdaudio runs` lists them" if n_runs else "start one with `svdaudio run`, or give another --store",
        )

    def method_of(self, run: RunRecord) -> Method:
        """The method of a run.

        Raises:
            RunError: the method is unknown here, or the record is that of a batch.
        """
        try:
            return find_method(run.kind)
        except ConfigError as error:
            raise RunError(
                f"unknown method of run {run.id}", expected=error.expected, got=run.kind, fix=error.fix
            ) from error

    def arrays(self, run: RunRecord, *, recompute: bool = True) -> RunArrays:
        """The arrays of a run by node.

        Args:
            run: the run.
            recompute: recompute damaged or missing arrays, which needs the run's files and weights; if false, they
                raise an error.
        """
        if not recompute:
            return RunArrays.in_store(run, self.method_of(run), self.store, self.bundle(run.bundle).classes)
        request = self.request_of(run)
        return arrays_of(self._work(request, run))

    def result(self, run: RunRecord | str, *, pictures: bool = True) -> Result:
        """An earlier finished run with its files, as `run` returned it.

        Args:
            run: the run or its name.
            pictures: also draw the plots of the report.

        Raises:
            RunError: the run does not exist, or its files have changed.
        """
        record = self.load(run) if isinstance(run, str) else run
        return Result(run=record, report=self.report(record, pictures=pictures))

    def report(self, run: RunRecord, *, pictures: bool = True) -> Report:
        """Write the files of a finished run that do not exist yet."""
        return self._report(self.request_of(run), run, pictures=pictures)

    def sound(self, run: RunRecord, name: str, suffix: str = ".wav") -> bytes:
        """A sound of a finished run as the content of a file.

        Args:
            run: the run.
            name: name of the sound.
            suffix: suffix of the format, one of `svdaudio.sounds.writing.FORMATS`.

        Raises:
            RunError: the run has no such sound.
        """
        report = self.report(run, pictures=False)
        if name not in report.audio:
            raise RunError(f"run {run.id} has no sound '{name}'", expected=" or ".join(report.audio) or None)
        return sound_bytes(report, run, self.method_of(run), name, suffix)

    def write_page(self, runs: Sequence[RunRecord], path: Path | None = None) -> Path:
        """Write a report of runs as one self-contained HTML file that opens offline.

        Only damaged or missing artifacts are recomputed.

        Args:
            runs: one or more runs; the others are compared with the first.
            path: the file; by default `report.html` in the folder of the first run's files.

        Raises:
            RunError: no run is given, or one is a batch, has an unknown method or no results.
            StoreError: an artifact cannot be recomputed, or the file cannot be written.
        """
        from svdaudio.pages.run_report import run_page

        if not runs:
            raise RunError("no run given", fix="name a run")
        shown: list[tuple[RunArrays, Report, Any]] = []
        for run in runs:
            if run.kind == BATCH:
                fix = f"name some of its runs; `svdaudio show {run.id}` lists them"
                raise RunError(f"run {run.id} is a batch, but a report shows single runs", fix=fix)
            if not any(entry.outputs for entry in run.stages):
                raise RunError(f"run {run.id} has no results yet", got=run_state(self.store, run), fix="resume it")
            shown.append((self.arrays(run), self.report(run, pictures=False), self.bundle(run.bundle)))
        path = path or shown[0][1].folder / PAGE
        write_bytes(path.absolute(), run_page(shown, self.store).encode())
        return path

    def draw(self, run: RunRecord, nodes: Collection[str]) -> dict[str, Path]:
        """Draw the views of nodes of a run: name of the view → PNG file."""
        return draw_nodes(self.arrays(run, recompute=False), nodes, root=self.out_root)

    def workflow(self, run: RunRecord) -> Workflow:
        """The workflow of a run, for provenance; an empty one for a batch or an unknown method."""
        try:
            method = self.method_of(run)
            config = recorded_config(run, method)
        except RunError:
            return UNKNOWN_WORKFLOW
        return Workflow(nodes=method.nodes(config), sounds=method.sounds(config))

    def compare(self, before: RunRecord, after: RunRecord) -> list[NodeDifference]:
        """The differences between two runs, for each node that both reached."""
        method = self.method_of(after)
        return compare_runs(before, after, method.nodes(recorded_config(after, method)))

    def comparison(self, *runs: RunRecord | str) -> Comparison:
        """All differences between two or more runs: parameters, files, stages, scores, verdicts.

        Args:
            runs: two or more runs, or their names. Stages are compared with those of the first.

        Raises:
            RunError: there are fewer than two runs, one does not exist, or one is a batch.
        """
        from svdaudio.views.comparison import compare_records

        if len(runs) < 2:
            raise RunError("too few runs to compare", expected="two or more", got=len(runs))
        records = [self.load(run) if isinstance(run, str) else run for run in runs]
        for record in records:
            if record.kind == BATCH:
                raise RunError(
                    f"run {record.id} is a batch, which cannot be compared as a whole",
                    fix=f"compare runs of its pairs: `svdaudio show {record.id}` lists them",
                )
        return compare_records(records, [self.workflow(record).nodes for record in records])

    # -- batches ---------------------------------------------------------------------------------------------------

    def open_batch(
        self, prepared: Sequence[Prepared], *, files: Mapping[str, Path], title: str, policy: BatchPolicy | None = None
    ) -> Batch:
        """The batch of these members: an unfinished batch of the same work in the store, else a new one."""
        return open_batch(
            self.store, prepared, files=files, title=title, runner=self.runner.name, policy=policy or BatchPolicy()
        )

    def reopen_batch(self, record: RunRecord) -> Batch:
        """A batch from its record, to continue it."""
        return reopen_batch(record, self.store, self.bundle, find_method)

    def run_batch(
        self,
        batch: Batch,
        *,
        progress: BatchProgress = no_batch_progress,
        stopping: Stopping = never_stop,
        n_workers: int = 1,
        table_path: Path | None = None,
    ) -> tuple[RunRecord, list[RunRecord]]:
        """Run the unfinished members of a batch, write its table and its record.

        Args:
            batch: from `open_batch` or `reopen_batch`.
            progress: receives every event.
            stopping: called between stages unless there are workers; if true, the batch ends there as "interrupted".
            n_workers: number of parallel processes, each with its own models.
            table_path: path of the table; by default that of the batch, else one in the store's folder of results.

        Returns:
            The record of the batch, and those of its runs in the order of its members.
        """
        policy = batch.policy
        output: OutputWriter = Outputs(root=self.out_root, pictures=policy.pictures)
        path = table_path or (Path(policy.table) if policy.table else self.out_root / f"{batch.record.id}.csv")
        executor = self.runner.batch_executor(batch.record.id)

        def execute(jobs: Sequence[Job]) -> list[RunRecord]:
            models = self.models(jobs[0].request)
            work = BatchWork(jobs=jobs, store=self.store, models=models, output=output, on_error=policy.on_error)
            if n_workers > 1 and len(jobs) > 1:
                from svdaudio.engine.workers import execute_shares

                return execute_shares(work, progress, n_workers=n_workers, execute=executor)
            return executor(work, progress, stopping)

        with self._quietly():
            return run_batch(batch, self.store, execute, table_path=path)

    # -- parts -----------------------------------------------------------------------------------------------------

    def bundle(self, name: str) -> Any:
        """A checkpoint bundle by name; its description is read once.

        Raises:
            CheckpointError: the bundle does not exist, or its description is damaged.
        """
        if name not in self._bundles:
            self._bundles[name] = self._open_bundle(name)
        return self._bundles[name]

    def refresh_bundle(self, name: str) -> Any:
        """A checkpoint bundle whose description is read again, for example after models have been fetched.

        Opened models are kept unless the description has changed.

        Raises:
            CheckpointError: the bundle does not exist, or its description is damaged.
        """
        found = self._open_bundle(name)
        if name not in self._bundles or self._bundles[name] != found:
            self._bundles[name] = found
            for key in list(self._models):
                if key[0] == name:
                    self._models.pop(key, None)
        return self._bundles[name]

    def keep_models(self) -> None:
        """From now on keep every loaded model in memory, for sessions that serve many small requests."""
        self._keeps_models = True

    def models(self, request: Request) -> ModelSource:
        """The models of a request. Each is loaded on first use."""
        execution = request.config.execution
        key = (request.bundle.name, execution)
        if key not in self._models:
            quiet_tqdm()
            self._models[key] = opened = self._open_models(request.bundle, request.config)
            if self._keeps_models and isinstance(opened, Models):
                opened.keep_all()
        return self._models[key]

    @property
    def out_root(self) -> Path:
        """The folder for the files of runs."""
        return out_root(self.store.location)

    def _work(self, request: Request, run: RunRecord, *, record: bool = True) -> RunWork:
        return RunWork(request=request, store=self.store, models=self.models(request), run=run, record=record)

    def _report(self, request: Request, run: RunRecord, *, pictures: bool) -> Report:
        return self.runner.report(self._work(request, run), root=self.out_root, pictures=pictures)


def run_state(store: Store, run: RunRecord) -> str:
    """The state of a run; a run whose process died is "interrupted", although its record says "running"."""
    return "interrupted" if run.state == "running" and not store.runs.is_active(run.id) else run.state


def is_unfinished(store: Store, run: RunRecord) -> bool:
    """Whether stages are still to be computed, or files to be written."""
    files_missing = run.state == "finished" and not run.results
    return files_missing or run_state(store, run) in ("failed", "interrupted")
