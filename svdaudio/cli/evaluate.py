"""`svdaudio evaluate`: the method, measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import batch, options
from svdaudio.cli.help import GroupedCommands
from svdaudio.cli.output import console, print_files, print_json, remark, table

if TYPE_CHECKING:
    from svdaudio.mini.edits import Edit, Outcome

app = typer.Typer(help="Measure the method on held-out edits.", cls=GroupedCommands)

Seed = Annotated[
    int | None,
    typer.Option("--scenes", metavar="SEED", help="Seed of the scenes (default the held-out one).", show_default=False),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="GOES-COMES", help="Only this edit, like cat-duck. Again for more (default all 72)."
    ),
]
Unscaled = Annotated[
    bool,
    typer.Option("--unscaled", help="A third control, for half as much again: the method with both factors 1."),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", show_default=False,
        help="Folder for the table, the page and the picture (default in the store's folder of results).",
    ),
]  # fmt: skip


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it, and keeps `edits` a command of its own
    """Measure the method on held-out edits."""


@app.command()
def edits(
    *,
    only: Only = None,
    unscaled: Unscaled = False,
    scenes: Seed = None,
    out: Folder = None,
    config: options.Config = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    store: options.Store = None,
    workers: batch.Workers = 1,
    runner: batch.Runner = None,
    as_json: options.Json = False,
) -> None:
    """The 72 ordered edits of the farm: each of nine animals replaced by each other, beside a third that stays.

    Held-out scenes through the real workflow, as a batch. Says in how many edits what came rises and what went falls,
    and how much what stayed changes, for the method and for two controls: plain SSV2A of the edited picture, and the
    mix with direct_mix alone. The same command again goes on where an earlier one was stopped.
    """
    from svdaudio.cli import work
    from svdaudio.mini import edits as library
    from svdaudio.pairs import Common
    from svdaudio.places import out_root

    chosen = _chosen(only)
    scene_seed = library.EDITS_SEED if scenes is None else scenes
    where = work.open_store(store)
    folder = out if out is not None else out_root(where.location) / f"edits.{scene_seed}"
    work.check_out(folder / "edits.csv")
    variants = [library.METHOD, library.DIRECT, *([library.UNSCALED] if unscaled else [])]
    drawn = [library.draw_edit(goes, comes, seed=scene_seed) for goes, comes in chosen]
    given = {name: value for name, value in (("seed", seed), ("bundle", bundle)) if value is not None}
    pairs = library.write_edits(folder / "scenes", drawn, variants)
    common = Common(config_file=config, overrides=overrides or (), given=given)
    prepared = batch.prepared_pairs(pairs, common)
    how = batch.How(runner=runner, n_workers=workers, table=folder / "runs.csv", as_json=as_json)
    from svdaudio.batches import open_batch

    opened = open_batch(
        where, prepared, files={"scenes": folder / "scenes"}, title=f"{len(drawn)} edits", runner=how.runner_name
    )
    record, runs = batch.carry_out(opened, where, how)
    results = {job.name: run.results for job, run in zip(opened.jobs, runs, strict=True)}
    outcomes = _outcomes(drawn, variants, results)
    missing = len(drawn) - len(outcomes)
    if missing:
        remark(f"{missing} of {len(drawn)} edits have no result and are left out; `svdaudio show {record.id}` says why")
    if outcomes:
        _report(
            outcomes, folder, record.bundle, _command(only, unscaled, scenes, overrides, seed, bundle), as_json=as_json
        )
    if missing:
        raise typer.Exit(1)


def _chosen(only: Sequence[str] | None) -> list[tuple[str, str]]:
    from svdaudio.errors import InputError
    from svdaudio.mini.edits import ordered_pairs

    there = {f"{goes}-{comes}": (goes, comes) for goes, comes in ordered_pairs()}
    for name in only or ():
        if name not in there:
            raise InputError(f"there is no edit '{name}'", expected="what goes and what comes, like cat-duck")
    return [there[name] for name in dict.fromkeys(only or there)]


def _outcomes(
    drawn: Sequence[Edit], variants: Sequence[str], results: Mapping[str, Mapping[str, Any]]
) -> list[Outcome]:
    """What came of every edit whose variants are all done."""
    from svdaudio.mini.edits import outcome, pair_name

    found: list[Outcome] = []
    for edit in drawn:
        scores = {variant: results[pair_name(edit, variant)].get("scores", {}) for variant in variants}
        if all("manipulated" in one for one in scores.values()):
            found.append(outcome(edit, scores))
    return found


def _report(outcomes: Sequence[Outcome], folder: Path, bundle: str, command: str, *, as_json: bool) -> None:
    from svdaudio.batches import write_table
    from svdaudio.files import write_bytes
    from svdaudio.mini import edits as library
    from svdaudio.plots import save

    variants = list(outcomes[0].sounds)
    found = {variant: library.figures(outcomes, variant) for variant in variants}
    page = library.markdown(outcomes, command=command, bundle=bundle)
    write_bytes(folder / "edits.md", page.encode())
    files = {
        "every edit": write_table(folder / "edits.csv", list(library.rows(outcomes))),
        "page": folder / "edits.md",
        "picture": save(_picture(outcomes, bundle), folder / "edits.png"),
        "every run": folder / "runs.csv",
    }
    if as_json:
        values = {
            variant: {f.name: {"value": f.value, "low": f.low, "high": f.high, "n": f.n} for f in row}
            for variant, row in found.items()
        }
        print_json(
            {
                "edits": len(outcomes),
                "bundle": bundle,
                "figures": values,
                "files": {n: str(p) for n, p in files.items()},
            }
        )
        return
    screen = console()
    body = [
        [figure.name, *(str(found[variant][place]) for variant in variants)]
        for place, figure in enumerate(found[library.METHOD])
    ]
    screen.print(table(["against the sound of the original", *variants], body, title=f"{len(outcomes)} edits"))
    own = [[figure.name, str(figure)] for control in variants[1:] for figure in library.differences(outcomes, control)]
    screen.print(table(["the method's own part, edit by edit", "mean"], own, title="\n"))
    screen.print()
    print_files(files)


def _picture(outcomes: Sequence[Outcome], bundle: str) -> Any:
    import numpy as np

    from svdaudio.mini import edits as library
    from svdaudio.mini.farm import CLASSES
    from svdaudio.plots import edit_figures

    shown = ("what came rises", "what went falls", "both", "mean absolute change of what stayed")
    shares = {
        variant: {
            f.name: (f.value, f.low or 0.0, f.high or 0.0)
            for f in library.figures(outcomes, variant)
            if f.name in shown
        }
        for variant in outcomes[0].sounds
    }
    margins = np.full((len(CLASSES), len(CLASSES)), np.nan)
    for o in outcomes:
        margin = min(o.change(library.METHOD, o.comes), -o.change(library.METHOD, o.goes))
        margins[CLASSES.index(o.goes), CLASSES.index(o.comes)] = margin
    return edit_figures(shares, margins, CLASSES, title=f"{len(outcomes)} edits, bundle {bundle}")


def _command(
    only: Sequence[str] | None,
    unscaled: bool,
    scenes: int | None,
    overrides: Sequence[str] | None,
    seed: int | None,
    bundle: str | None,
) -> str:
    """The command that gives these figures, for the page."""
    words = ["svdaudio", "evaluate", "edits", *(word for name in only or () for word in ("--only", name))]
    words += ["--unscaled"] if unscaled else []
    words += [word for text in overrides or () for word in ("--set", text)]
    for name, value in (("--scenes", scenes), ("--seed", seed), ("--bundle", bundle)):
        words += [] if value is None else [name, str(value)]
    return shlex.join(words)
