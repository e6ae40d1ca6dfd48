"""`svdaudio train`: make the mini bundle anew, one model a command, or all of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.help import GroupedCommands
from svdaudio.cli.output import console, error_console, print_json, quiet_stdout, seconds_text, table
from svdaudio.mini.recipes import ORDER
from svdaudio.places import project_root

if TYPE_CHECKING:
    from svdaudio.mini.figures import Figure

app = typer.Typer(
    help="Train the models of the mini bundle. A training that was interrupted goes on.", cls=GroupedCommands
)

Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the weights (default checkpoints/mini).", show_default=False)
]
Work = Annotated[
    Path | None, typer.Option("--work", help="Folder of checkpoints and logs (default training/).", show_default=False)
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]


@app.command("all")
def train_all(*, seed: Seed = 0, out: Out = None, work: Work = None) -> None:
    """Train every model in the order in which they need each other, and describe the bundle."""
    for name in ORDER:
        _train(name, seed=seed, out=out, work=work)
    manifest(out=out)


@app.command()
def manifest(*, out: Out = None) -> None:
    """Describe the weights in a folder as a bundle: digests, sizes, class names, settings."""
    from svdaudio.mini.manifest import describe

    console().print(f"wrote {describe(_out(out))}", markup=False, soft_wrap=True)


@app.command()
def evaluate(*, out: Out = None, as_json: options.Json = False) -> None:
    """Measure the weights in a folder on what was held out, and print the table of figures."""
    from svdaudio.mini.evaluation import sections

    rows: list[tuple[str, Figure]] = []
    for title, measure in sections(_out(out)):
        began = time.monotonic()
        with error_console().status(f"measuring: {title}"), quiet_stdout():
            figures = measure()
        rows += [(title, figure) for figure in figures]
        error_console().print(f"measured {title}: {seconds_text(time.monotonic() - began)}", markup=False)
    if as_json:
        found = [{"section": title, **asdict(figure), "reached": figure.reached} for title, figure in rows]
        print_json({"folder": str(_out(out)), "figures": found})
        return
    console().print(
        table(
            ("figure, on held-out data", "value", "95 % interval", "samples", "goal", "reached"),
            [_row(figure) for _, figure in rows],
            right=(1, 3),
        )
    )


def _row(figure: Figure) -> tuple[str, ...]:
    interval = "" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"
    reached = {None: "", True: "yes", False: "no"}[figure.reached]
    return figure.name, f"{figure.value:.3f}", interval, str(figure.n), str(figure.goal or ""), reached


def _out(out: Path | None) -> Path:
    return out if out is not None else project_root() / "checkpoints" / "mini"


def _train(name: str, *, seed: int, out: Path | None, work: Path | None, n_steps: int | None = None) -> None:
    options: dict[str, Any] = {} if n_steps is None else {"n_steps": n_steps}
    recipe = import_module(f"svdaudio.mini.recipes.{name}")
    folder = work if work is not None else project_root() / "training"
    recipe.train(folder=folder, out=_out(out), seed=seed, **options)
    console().print(f"trained {name}: {_out(out) / f'{name}.md'}", markup=False, soft_wrap=True)


def _add(name: str) -> None:
    def command(
        *,
        seed: Seed = 0,
        steps: Annotated[
            int | None,
            typer.Option("--steps", min=1, help="Training steps (default the recipe's).", show_default=False),
        ] = None,
        out: Out = None,
        work: Work = None,
    ) -> None:
        _train(name, seed=seed, out=out, work=work, n_steps=steps)

    app.command(name, help=f"Train the {name.replace('_', ' ')}.")(command)


for _name in ORDER:
    _add(_name)
