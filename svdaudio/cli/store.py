"""`svdaudio store`: copying whole stores."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import N_DIGITS, console, error_console, print_json

if TYPE_CHECKING:
    from svdaudio.store.copy import CopyReport, Outcome

app = Commands(help="Copy whole stores: folders and buckets.")


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - without it, `store` itself would be `copy`
    """Copy whole stores: folders and buckets."""


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="A", help="A store: a folder, or s3://bucket/prefix.")],
    target: Annotated[str, typer.Argument(metavar="B", help="Another store; created if needed.")],
    *,
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Copy only this run and its artifacts. Repeatable."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Copy artifacts and runs from A to B, checking each array. A and what is already in B stay unchanged."""
    from svdaudio.cli.sessions import log_to_stderr
    from svdaudio.errors import InputError, NewerRecordError, StoreError
    from svdaudio.store import open_store
    from svdaudio.store.copy import check_apart, copy_store

    log_to_stderr()
    here, there = open_store(source), open_store(target)
    check_apart(here, there)
    if next(iter(here.keys()), None) is None and not here.runs.ids():
        raise InputError(f"nothing to copy in {here.location}", got="no artifact and no run")
    chosen = None if runs is None else [here.runs.load(name) for name in runs]
    with _counting() as on_artifact:
        report = copy_store(here, there, runs=chosen, on_artifact=on_artifact)
    if as_json:
        print_json(
            {
                "source": here.location,
                "target": there.location,
                "complete": report.complete,
                "copied": list(report.copied),
                "there": list(report.there),
                "damaged": list(report.damaged),
                "gone": list(report.gone),
                "newer": list(report.newer),
                "runs": list(report.runs),
                "runs_damaged": list(report.runs_damaged),
                "runs_newer": list(report.runs_newer),
                "runs_gone": list(report.runs_gone),
                "bytes": report.n_bytes,
            }
        )
    else:
        console().print(_summary(report, there.location), markup=False)
    if report.damaged:
        raise StoreError(
            f"{len(report.damaged)} artifacts in {here.location} are damaged and were not copied",
            got=_some(report.damaged),
            fix="recompute them with `svdaudio run` and the same arguments",
        )
    if report.newer or report.runs_newer:
        raise NewerRecordError(
            f"{len(report.newer)} artifacts and {len(report.runs_newer)} runs were written by a newer version of "
            "svdaudio and were not copied",
            got=_some((*report.newer, *report.runs_newer)),
            fix="update svdaudio",
        )
    if report.runs_damaged:
        raise StoreError(
            f"the records of {len(report.runs_damaged)} runs in {here.location} are damaged and were not copied",
            got=", ".join(report.runs_damaged[:3]),
        )


@contextmanager
def _counting() -> Generator[Callable[[str, Outcome], None]]:
    """Show a status line on standard error that counts the processed artifacts."""
    done = count(1)
    with error_console().status("copying") as status:

        def on_artifact(key: str, outcome: Outcome) -> None:
            del key, outcome
            status.update(f"copying: {next(done)} artifacts done")

        yield on_artifact


def _summary(report: CopyReport, target: str) -> str:
    text = (
        f"{len(report.copied)} artifacts ({report.n_bytes / 1e6:.1f} MB of arrays) and {len(report.runs)} runs copied "
        f"to {target}; {len(report.there)} artifacts were already there"
    )
    if report.gone:
        text += f"\n{len(report.gone)} artifacts that the runs use are missing in the source: {_some(report.gone)}"
    if report.runs_gone:
        named = ", ".join(report.runs_gone[:3])
        text += f"\n{len(report.runs_gone)} runs named by batches are missing in the source: {named}"
    return text


def _some(keys: tuple[str, ...]) -> str:
    return ", ".join(key[:N_DIGITS] for key in keys[:3]) + (" …" if len(keys) > 3 else "")
