"""Sessions for commands: opening the store and bundles, progress on standard error, and Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from svdaudio.cli import INTERRUPTED
from svdaudio.cli.output import print_note, progress_bar, quiet_stdout, seconds_text
from svdaudio.text import printable

if TYPE_CHECKING:
    from svdaudio.checkpoints.bundle import Bundle
    from svdaudio.checkpoints.models import Models
    from svdaudio.cli import options
    from svdaudio.config import RunConfig
    from svdaudio.engine.journal import Event, Progress
    from svdaudio.engine.request import Request
    from svdaudio.session import Result, Runner, Session
    from svdaudio.store import Store


def open_store(location: str | None) -> Store:
    """The store at a location, or the default one."""
    from svdaudio import store
    from svdaudio.places import default_store

    return store.open_store(location if location is not None else default_store())


def open_bundle(name: str) -> Bundle:
    """A checkpoint bundle by its name. Reads only its description."""
    from svdaudio.checkpoints.bundle import Bundle

    return Bundle.open(name)


def open_models(bundle: Bundle, config: RunConfig) -> Models:
    """The models of a bundle. A model is loaded when it is first needed."""
    from svdaudio.checkpoints.models import Models

    return Models.of(bundle, config)


def open_session(store: str | None, runner: Runner | None = None) -> Session:
    """A session on a store. What libraries print goes to standard error."""
    from svdaudio.session import Session

    return Session(
        open_store(store), runner=runner, open_bundle=open_bundle, open_models=open_models, quietly=quiet_stdout
    )


def request_of(
    session: Session,
    method: str,
    files: Any,
    parameters: Any,
    settings: Mapping[str, Any] | None = None,
    *,
    targets: tuple[str, ...] = (),
) -> Request:
    """The request that a command's options describe; its notes go to standard error.

    Args:
        session: runs the request.
        method: name of the method.
        files: input files in the order of the method.
        parameters: an option group of `svdaudio.cli.options`.
        settings: dotted parameter → value from the command's own options.
        targets: nodes to compute instead of the method's targets.
    """
    request = session.request(
        method,
        files,
        {**parameters.given(), **(settings or {})},
        config_file=parameters.config,
        overrides=parameters.texts,
        variant=getattr(parameters, "variant", None),
        targets=targets,
        source="command line",
    )
    for text in request.resolved.remarks:
        print_note(text)
    return request


def run_request(session: Session, request: Request, out: options.OutOptions) -> Result:
    """Run a request with progress on standard error, and copy its sound to the file that the options name."""
    run = session.new_run(request)
    with show_progress() as progress, resumable(run.id):
        return session.run(request, run=run, progress=progress, out=out.path, rate_hz=out.rate_hz)


def check_out(out: Path | None, *, kind: str | tuple[str, ...] | None = None, inputs: Iterable[Path] = ()) -> None:
    """Refuse a path where a file cannot be written, if one is given; see `svdaudio.files.check_place`."""
    from svdaudio.files import check_place

    if out is not None:
        check_place(out, kind=kind, inputs=inputs)
        if not out.absolute().parent.exists():
            print_note(f"the folder {out.parent} will be created")


def check_sound_out(out: options.OutOptions, *, inputs: Iterable[Path] = ()) -> None:
    """Refuse an invalid path, format or rate for a sound; see `svdaudio.sounds.writing.check_sound_place`."""
    from svdaudio.errors import InputError
    from svdaudio.sounds.writing import check_sound_place

    if out.path is None:
        if out.rate_hz is not None:
            raise InputError("--rate would have no effect without --out", fix="add --out, or omit it")
        return
    check_sound_place(out.path, out.rate_hz, inputs=inputs)
    check_out(out.path)


def log_to_stderr() -> None:
    """Print each warning of this project and of libraries as one line on standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="note: %(message)s")


@contextlib.contextmanager
def resumable(run_id: str) -> Generator[None]:
    """Turn Ctrl-C into exit code 130, and print the command that resumes the run.

    Raises:
        typer.Exit: with 130, after Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        print_note(f"interrupted; completed work is kept, and `svdaudio resume {run_id}` continues it")
        raise typer.Exit(INTERRUPTED) from None


@contextlib.contextmanager
def show_progress() -> Generator[Progress]:
    """A progress bar on a terminal; elsewhere, a line for each stage that was computed."""
    log_to_stderr()
    if not sys.stderr.isatty():
        yield _print_line
        return
    with progress_bar() as bar:
        task = bar.add_task("looking up", total=None)

        def on_event(event: Event) -> None:
            bar.update(task, total=event.n_total, completed=event.n_done)
            if event.kind == "started":
                bar.update(task, description=event.node)
            elif line := _line(event):
                bar.console.print(line, markup=False)

        yield on_event


def _print_line(event: Event) -> None:
    if line := _line(event):
        sys.stderr.write(printable(line) + "\n")
        sys.stderr.flush()


def _line(event: Event) -> str | None:
    """The line to print for an event; none for a start, a cached stage, or a failure, which is printed as the error."""
    if event.kind == "waiting":
        return f"{event.node}: {event.text}"
    if event.kind == "note":
        return f"note: {event.node}: {event.text}"
    entry = event.entry
    if event.kind == "finished" and entry is not None and entry.status == "computed":
        return f"[{event.n_done}/{event.n_total}] {event.node}: {seconds_text(entry.seconds)} ({entry.reason})"
    return None
