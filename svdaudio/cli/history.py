"""`svdaudio runs`, `show` and `inspect`: past runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.output import (
    N_DIGITS,
    console,
    print_files,
    print_findings,
    print_json,
    print_note,
    seconds_text,
    table,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.session import Session
    from svdaudio.store import RunRecord, StageEntry, Store


def runs(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Maximum number of runs.")] = 20,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """List the runs of a store, newest first."""
    from itertools import islice

    from svdaudio.cli.sessions import open_store
    from svdaudio.session import run_state

    where = open_store(store)
    found = list(islice(where.runs, limit))
    if as_json:
        print_json({"store": where.location, "runs": [_run_summary(where, run) for run in found]})
        return
    if not found:
        console().print(f"no runs in {where.location} yet", markup=False)
        return
    rows = [
        [
            run.id,
            run.kind,
            " ".join(dict.fromkeys(Path(use.path).name for use in run.files.values())),
            run.bundle,
            run_state(where, run),
            _counts(run),
            seconds_text(run.seconds),
        ]
        for run in found
    ]
    console().print(table(["run", "kind", "pictures", "bundle", "state", "stages", "time"], rows, right=[6]))


def show(
    name: options.Run,
    *,
    graph: Annotated[
        bool, typer.Option("--graph", help="Print only a Mermaid diagram of the stages from the files to the sounds.")
    ] = False,
    prov: Annotated[bool, typer.Option("--prov", help="Print only the provenance, as W3C PROV-JSON.")] = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Show a run: its configuration with the source of each value, the status of every stage, and its results.

    For a batch, show the configuration that its pairs share, the state and error of each pair, and the path of the
    table.
    """
    from svdaudio.cli.sessions import open_session
    from svdaudio.engine.batches import KIND

    session = open_session(store)
    where, run = session.store, session.load(name)
    if graph or prov:
        _show_provenance(session, run, graph=graph, prov=prov, as_json=as_json)
        return
    if run.kind == KIND:
        _show_batch(where, run, as_json=as_json)
        return
    if as_json:
        print_json({**_run_summary(where, run), **_run_details(run)})
        return
    screen = console()
    _print_head(where, run)
    screen.print(_configuration_table(run, "Configuration"))
    screen.print(_stage_table(run))
    for entry in run.stages:
        for text in entry.notes:
            screen.print(f"note: {entry.node}: {text}", markup=False)
    _print_results(run)


def _show_batch(where: Store, run: RunRecord, *, as_json: bool) -> None:
    """Print a batch: its pairs, how many are in each state, and the path of its table."""
    from svdaudio.engine.batches import kept_runs
    from svdaudio.session import run_state

    pairs: list[dict[str, Any]] = [
        {
            "name": member.name,
            "run": member.run,
            "state": "lost" if found is None else run_state(where, found),
            "error": "its record is missing or damaged" if found is None else found.error,
        }
        for member, found in kept_runs(run, where)
    ]
    counts = Counter(pair["state"] for pair in pairs)
    path = run.results.get("table")
    if as_json:
        facts = {"title": run.results.get("title"), "counts": dict(counts), "table": path, "pairs": pairs}
        print_json({**_run_summary(where, run), **facts, **_run_details(run)})
        return
    screen = console()
    _print_head(where, run)
    if run.config:
        screen.print(_configuration_table(run, "Configuration that all pairs share"))
    screen.print(f"\nPairs: {', '.join(f'{n} {state}' for state, n in counts.items())}", markup=False)
    rows = [("pair", "run", "state", "error"), *((p["name"], p["run"], p["state"], p["error"] or "") for p in pairs)]
    name, run_id, state = (max(len(row[place]) for row in rows) for place in range(3))
    for row in rows:  # not as a table, which would wrap errors
        line = f"  {row[0]:<{name}}  {row[1]:<{run_id}}  {row[2]:<{state}}  {row[3]}"
        screen.print(line.rstrip(), markup=False)
    screen.print(f"\nTable with every score and file: {path or 'not written yet'}", markup=False)
    if run_state(where, run) in ("failed", "interrupted"):
        screen.print(f"`svdaudio resume {run.id}` continues it.", markup=False)


def _print_head(where: Store, run: RunRecord) -> None:
    """Print the state, the files and the error of a run of any kind."""
    from svdaudio.session import run_state

    screen = console()
    screen.print(
        f"[bold]Run {run.id}[/bold], {run.kind}, bundle [bold]{run.bundle}[/bold], "
        f"{run_state(where, run)}, {run.created_at}"
    )
    for role, use in run.files.items():
        digest = f" (sha256 {use.digest[:N_DIGITS]})" if use.digest else ""  # a folder has none
        screen.print(f"{role}: {use.path}{digest}", markup=False)
    if run.error:
        screen.print(f"error: {run.error}", markup=False)
    for text in run.remarks:
        screen.print(f"note: {text}", markup=False)


def _configuration_table(run: RunRecord, title: str) -> Any:
    from svdaudio.config import flatten

    meanings = _meanings(run)
    rows = [
        [
            parameter,
            value,
            run.source(parameter),
            meanings.get(parameter) or meanings.get(parameter.partition(".")[0], ""),
        ]
        for parameter, value in flatten(run.config).items()
    ]
    return table(["parameter", "value", "from", "meaning"], rows, title=f"\n{title}")


def _meanings(run: RunRecord) -> dict[str, str]:
    """The meaning of each parameter of a run; for batches and unknown methods, as in the published method."""
    from svdaudio.errors import ConfigError
    from svdaudio.methods import find_method

    try:
        method = find_method(run.kind)
    except ConfigError:
        method = find_method("manipulate")
    return {name: parameter.meaning for name, parameter in method.config.parameters().items()}


def _show_provenance(session: Session, run: RunRecord, *, graph: bool, prov: bool, as_json: bool) -> None:
    from svdaudio.engine.provenance import mermaid, prov_document
    from svdaudio.errors import InputError

    if graph and prov:
        raise InputError("--graph and --prov exclude each other", fix="give one of them")
    workflow = session.workflow(run)
    if prov:
        print_json(prov_document(run, session.store, workflow))
    elif as_json:
        print_json({"run": run.id, "mermaid": mermaid(run, workflow)})
    else:
        console().print(mermaid(run, workflow), markup=False)


def inspect(
    name: options.Run,
    stage: Annotated[
        str | None,
        typer.Argument(
            metavar="STAGE",
            help="A stage of the run: 'removed.mask', 'mask' for all masks, 'removed' for all stages of that region.",
        ),
    ] = None,
    *,
    plot: options.Plot = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """List the arrays of a run with shape, type, range and digest; --plot draws them."""
    from svdaudio.cli.sessions import open_session

    session = open_session(store)
    run = session.load(name)
    entries = _chosen(run, stage)
    described = {
        entry.node: _describe(session.store, entry) for entry in entries if entry.key is not None and entry.outputs
    }
    drawn = session.draw(run, described) if plot and described else {}
    if as_json:
        print_json(
            {
                "run": run.id,
                "stages": [{"stage": node, "arrays": arrays} for node, arrays in described.items()],
                "pictures": {picture: str(path) for picture, path in drawn.items()},
            }
        )
        return
    screen = console()
    rows = [
        [
            f"{node}.{array['name']}",
            str(tuple(array["shape"])),
            array["dtype"],
            *_range(array),
            array["digest"][:N_DIGITS],
        ]
        for node, arrays in described.items()
        for array in arrays
    ]
    screen.print(table(["array", "shape", "dtype", "min", "max", "mean", "digest"], rows, right=[3, 4, 5]))
    if drawn:
        screen.print()
        print_files(drawn)
    elif plot:
        print_note("these arrays have no picture")


def _run_summary(store: Store, run: RunRecord) -> dict[str, Any]:
    from svdaudio.session import run_state

    return {
        "run": run.id,
        "kind": run.kind,
        "created_at": run.created_at,
        "state": run_state(store, run),
        "bundle": run.bundle,
        "files": {name: use.path for name, use in run.files.items()},
        "targets": list(run.targets),
        "seconds": round(run.seconds, 3),
        "error": run.error,
    }


def _run_details(run: RunRecord) -> dict[str, Any]:
    from svdaudio.config import flatten

    return {
        "config": {n: {"value": v, "from": run.source(n)} for n, v in flatten(run.config).items()},
        "remarks": list(run.remarks),
        "runner": run.runner,
        "attempts": run.attempts,
        "stages": [
            {
                "stage": entry.node,
                "key": entry.key,
                "status": entry.status,
                "seconds": round(entry.seconds, 4),
                "reason": entry.reason,
                "notes": list(entry.notes),
                "outputs": dict(entry.outputs),
            }
            for entry in run.stages
        ],
        "results": dict(run.results),
    }


def _counts(run: RunRecord) -> str:
    counts = Counter(entry.status for entry in run.stages)
    return ", ".join(f"{n} {status}" for status, n in counts.items() if n)


def _stage_table(run: RunRecord) -> Any:
    rows = [
        [entry.node, entry.status, seconds_text(entry.seconds), (entry.key or "")[:N_DIGITS], entry.reason]
        for entry in run.stages
    ]
    return table(["stage", "status", "time", "key", "reason"], rows, title="\nStages", right=[2])


def _print_results(run: RunRecord) -> None:
    screen = console()
    scores = run.results.get("scores", {})
    if scores:
        screen.print("\nScores")
    print_findings(scores, run.results.get("result"), run.results.get("verdict", ()), run.results.get("notes", ()))
    files = {**run.results.get("audio", {}), **run.results.get("pictures", {})}
    if files:
        screen.print()
        print_files({what: Path(path) for what, path in files.items()})


def _chosen(run: RunRecord, stage: str | None) -> list[StageEntry]:
    from svdaudio.errors import RunError

    if stage is None:
        return list(run.stages)
    found = [e for e in run.stages if stage in (e.node, e.stage) or e.node.startswith(f"{stage}.")]
    if not found:
        import difflib

        known = list(dict.fromkeys([*(e.node for e in run.stages), *(e.stage for e in run.stages)]))
        near = difflib.get_close_matches(stage, known, n=1, cutoff=0.4)
        raise RunError(
            f"run {run.id} has no stage '{stage}'",
            fix=f"try '{near[0]}'" if near else f"list them with `svdaudio show {run.id}`",
        )
    if not any(e.outputs for e in found):
        raise RunError(
            f"run {run.id} did not reach '{stage}'",
            got=found[0].status,
            fix=f"continue it with `svdaudio resume {run.id}`",
        )
    return found


def _describe(store: Store, entry: StageEntry) -> list[dict[str, Any]]:
    arrays = store.load(entry.key or "")
    return [{"name": name, **_summary(array), "digest": entry.outputs[name]} for name, array in arrays.items()]


def _summary(array: NDArray[Any]) -> dict[str, Any]:
    import numpy as np

    facts: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    values = array.astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {**facts, "min": None, "max": None, "mean": None}
    return {**facts, "min": float(finite.min()), "max": float(finite.max()), "mean": float(finite.mean())}


def _range(array: dict[str, Any]) -> list[str]:
    return ["" if array[name] is None else f"{array[name]:.5g}" for name in ("min", "max", "mean")]
