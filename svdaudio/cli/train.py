"""`svdaudio train`: training on the user's own folder, or the models of the mini bundle, one by one or all at once."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options, pretrain
from svdaudio.cli.help import Commands
from svdaudio.cli.output import console, error_console, print_json, quiet_stdout, seconds_text, table
from svdaudio.errors import RunError
from svdaudio.mini.catalogue import COMMANDS, NEEDS, PRETRAINED
from svdaudio.places import checkpoints_folder, pretrained_folder, project_root
from svdaudio.processes import python_command

if TYPE_CHECKING:
    from svdaudio.figures import Figure

app = Commands(help="Train on your own folder, or train the mini bundle. An interrupted training resumes.")
app.command(rich_help_panel="On your own folder")(pretrain.ciap)
app.command("sound-encoder", rich_help_panel="On your own folder")(pretrain.sound_encoder)

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Folder of the mini bundle's weights (default checkpoints/mini); mini-pretrained is next to it."
    ),
]
Work = Annotated[Path | None, typer.Option("--work", help="Folder for checkpoints and logs (default training).")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw.")]


@app.command("all")
def train_all(
    *,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Number of parallel trainings (default one per core)."),
    ] = None,
    out: Out = None,
    work: Work = None,
) -> None:
    """Train every model in the order of dependencies, and write the bundle's manifest. Rerun after Ctrl-C to resume."""
    from svdaudio.mini.training import Event, train_together

    n_workers = min(workers or len(os.sched_getaffinity(0)), len(NEEDS))
    folder = _work(work)
    folder.mkdir(parents=True, exist_ok=True)
    n_threads = max(1, len(os.sched_getaffinity(0)) // n_workers)
    environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
    begun = time.monotonic()

    def start(name: str) -> subprocess.Popen[bytes]:
        options = ["--seed", str(seed), "--out", str(_out(out)), "--work", str(folder)]
        program = python_command("-m", "svdaudio.cli", "train", COMMANDS.get(name, name), *options)
        with (folder / f"{name}.out").open("wb") as output:
            return subprocess.Popen(program, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment)

    def print_event(event: Event) -> None:
        text = f"training {event.name}: see {folder / event.name}.log"
        if event.seconds is not None:
            spent = seconds_text(time.monotonic() - begun)
            text = f"trained {event.name} in {seconds_text(event.seconds)}; {spent} in total"
        error_console().print(text, markup=False, soft_wrap=True)

    try:
        train_together(NEEDS, start, n_workers=n_workers, on_event=print_event)
    except RunError as error:
        raise RunError(error.what, got=error.got, fix=f"see its output in {folder}, then repeat the command") from error
    manifest(out=out)


@app.command()
def manifest(*, out: Out = None) -> None:
    """Write the manifest that makes the weights in a folder a bundle: digests, sizes, class names, settings."""
    from svdaudio.mini.manifest import describe

    for path in describe(_out(out)):
        console().print(f"wrote {path}", markup=False, soft_wrap=True)


@app.command()
def evaluate(
    *,
    cards: Annotated[bool, typer.Option("--cards", help="Also write the figures into the model cards.")] = False,
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate the weights in a folder on held-out data, and print a table of figures."""
    from svdaudio.mini.card import rewrite
    from svdaudio.mini.evaluation import sections

    rows: list[tuple[str, Figure]] = []
    for section in sections(_out(out)):
        begun = time.monotonic()
        with error_console().status(f"measuring: {section.title}"), quiet_stdout():
            figures = section.measure()
        rows += [(section.title, figure) for figure in figures]
        if cards and section.card is not None:
            rewrite(section.card, figures)
        error_console().print(f"measured {section.title}: {seconds_text(time.monotonic() - begun)}", markup=False)
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
    return out if out is not None else checkpoints_folder() / "mini"


def _work(work: Path | None) -> Path:
    return work if work is not None else project_root() / "training"


def _train(name: str, *, seed: int, out: Path | None, work: Path | None, n_steps: int | None = None) -> None:
    from svdaudio.mini.recipe import Training

    module: Any = import_module(f"svdaudio.mini.recipes.{name}")
    base = _out(out)
    folder = pretrained_folder(base) if name in PRETRAINED else base
    length: int = n_steps or module.RECIPE.n_steps
    module.train(Training(folder=_work(work), out=folder, base=base, seed=seed, n_steps=length))
    console().print(f"trained {name}: {folder / f'{name}.md'}", markup=False, soft_wrap=True)


def _add(name: str) -> None:
    def command(
        *,
        seed: Seed = 0,
        steps: Annotated[
            int | None,
            typer.Option("--steps", min=1, help="Number of training steps (default that of the recipe)."),
        ] = None,
        out: Out = None,
        work: Work = None,
    ) -> None:
        _train(name, seed=seed, out=out, work=work, n_steps=steps)

    app.command(COMMANDS.get(name, name), help=f"Train the model `{name}`.")(command)


for _name in NEEDS:
    _add(_name)
