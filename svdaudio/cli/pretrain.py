"""`svdaudio train ciap` and `svdaudio train sound-encoder`: training on the user's own folder."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, error_console, print_json, quiet_stdout, short_path, table
from svdaudio.errors import InputError
from svdaudio.places import project_root
from svdaudio.processes import python_command
from svdaudio.text import printable

if TYPE_CHECKING:
    from svdaudio.studies.pretraining_bundle import Trained

_DATA = "Data"
_RESULT = "Result"
_TRAINING = "Training"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of both commands."""

    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", parser=options.user_path, rich_help_panel=_DATA,
            help="Pictures and sounds with matching names, and labels.csv (stem,label[,group]) if there are labels.",
        ),
    ] = None  # fmt: skip
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout", metavar="NAME", rich_help_panel=_DATA, help="Layout of the folder (default: recognised)."
        ),
    ] = None
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", rich_help_panel=_DATA, help="Skip items that cannot be used.")
    ] = False
    preset: Annotated[
        str,
        typer.Option(
            "--preset", metavar="NAME", rich_help_panel=_TRAINING, help="Initial settings: default or published."
        ),
    ] = "default"
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", parser=options.user_path, rich_help_panel=_TRAINING,
            help="A TOML or YAML file of settings.",
        ),
    ] = None  # fmt: skip
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", rich_help_panel=_TRAINING, help="Set one setting: batch=32. Repeatable."
        ),
    ] = None
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", rich_help_panel=_TRAINING, help="auto, cpu, cuda or cuda:N.")
    ] = "auto"
    devices: Annotated[
        int,
        typer.Option(
            "--devices", min=1, metavar="N", rich_help_panel=_TRAINING,
            help="Number of GPUs that share each batch; without a GPU, number of processes.",
        ),
    ] = 1  # fmt: skip
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="BUNDLE", rich_help_panel=_RESULT,
            help="Bundle with the frozen network, which also fills all other roles of the new bundle.",
        ),
    ] = None  # fmt: skip
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", rich_help_panel=_RESULT,
            help="Name of the new bundle (default: command and folder, such as ciap-birds).",
        ),
    ] = None  # fmt: skip
    work: Annotated[
        Path | None,
        typer.Option(
            "--work", metavar="FOLDER", parser=options.user_path, rich_help_panel=_RESULT,
            help="Folder for state, logs and cached embeddings (default training/NAME).",
        ),
    ] = None  # fmt: skip
    example_config: Annotated[
        bool,
        typer.Option(
            "--example-config", rich_help_panel=_TRAINING,
            help="Print a commented settings file with the values of the preset, and exit.",
        ),
    ] = False  # fmt: skip
    as_json: options.Json = False

    def command(self, kind: str) -> list[str]:
        """The command with its options, for the model card and for resuming."""
        words = ["svdaudio", "train", kind, "--data", str(self.data)]
        given = {
            "--layout": self.layout,
            "--config": self.config,
            "--base": self.base,
            "--name": self.name,
            "--work": self.work,
        }
        words += [word for name, value in given.items() if value is not None for word in (name, str(value))]
        words += [] if self.preset == "default" else ["--preset", self.preset]
        words += [word for text in self.overrides or () for word in ("--set", text)]
        words += [] if self.device == "auto" else ["--device", self.device]
        words += [] if self.devices == 1 else ["--devices", str(self.devices)]
        return [*words, *(["--skip-bad"] if self.skip_bad else [])]


@grouped
def ciap(*, options: Options) -> None:
    """Train CIAP's image encoder on your pairs of pictures and sounds. An interrupted training resumes.

    Writes a bundle to checkpoints/NAME, for --bundle NAME.
    """
    _train("ciap", options)


@grouped
def sound_encoder(*, options: Options) -> None:
    """Train the sound encoder on your sounds with labels, pictures or both. An interrupted training resumes.

    Writes a bundle to checkpoints/NAME, for --bundle NAME.
    """
    _train("sound-encoder", options)


def _train(command: str, given: Options) -> None:
    from svdaudio.pretraining.kinds import KINDS
    from svdaudio.pretraining.launch import is_launched, launch
    from svdaudio.pretraining.settings import PRESETS
    from svdaudio.pretraining.settings_files import example_file, resolve_settings

    kind = KINDS[command]
    if given.example_config:
        sys.stdout.write(example_file(kind.schema, preset=given.preset))
        return
    if given.data is None:
        raise InputError("no data given", expected="--data FOLDER", fix="name the folder of pictures and sounds")
    settings = resolve_settings(kind.schema, preset=given.preset, file=given.config, overrides=given.overrides or ())
    name = given.name or f"{command}-{given.data.resolve().name}"
    if Path(name).name != name or name.startswith("."):
        raise InputError("the name of the bundle is not valid", expected="the name of a folder", got=repr(name))
    work = given.work or project_root() / "training" / name
    words = given.command(command)
    resume = f"interrupted; resume with: {shlex.join(words)}"
    if given.devices > 1 and not is_launched():
        program = python_command("-m", "svdaudio.cli", *words[1:], *(["--json"] if given.as_json else []))
        try:
            launch(program, given.devices)
        except KeyboardInterrupt:
            _print_line(resume)
            raise
        return
    if (note := PRESETS[kind.schema][given.preset].note) and settings.init == "random":
        _print_line(f"note: {note}")
    from svdaudio.studies.pretraining import FaultyDataError, Listener, pretrain
    from svdaudio.studies.pretraining_state import Request

    request = Request(
        kind=kind,
        data=given.data,
        layout=given.layout,
        settings=settings,
        base=given.base or kind.base,
        name=name,
        work=work,
        device=given.device,
        skip_bad=given.skip_bad,
        command=shlex.join(words),
    )
    try:
        with _Status() as status, quiet_stdout():
            done = pretrain(request, Listener(say=status.print_line, progress=status.progress))
    except FaultyDataError as error:
        for fault in error.faults:
            sys.stderr.write(f"  {printable(str(fault))}\n")
        raise
    except KeyboardInterrupt:
        if _is_first():
            _print_line(resume)
        raise
    if _is_first():
        _report(done, as_json=given.as_json)


def _is_first() -> bool:
    """Whether this process prints for all processes that train together."""
    return os.environ.get("RANK", "0") == "0"


def _print_line(text: str) -> None:
    error_console().print(text, markup=False, soft_wrap=True)


class _Status:
    """A status line on standard error that shows progress, and permanent lines."""

    def __init__(self) -> None:
        self._shown: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def print_line(self, text: str) -> None:
        """Print a permanent line."""
        self._stop()
        _print_line(text)

    def progress(self, what: str, n_done: int, n_all: int) -> None:
        """Show how much is done."""
        if self._shown is None:
            self._shown = error_console().status(what)
            self._shown.start()
        self._shown.update(f"{what}: {n_done} of {n_all}")
        if n_done == n_all:
            self._stop()

    def _stop(self) -> None:
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def _report(done: Trained, *, as_json: bool) -> None:
    if as_json:
        facts = {name: value for name, value in vars(done).items() if name != "figures"}
        paths = {name: str(value) for name, value in facts.items() if isinstance(value, Path)}
        print_json({**facts, **paths, "figures": [asdict(one) for one in done.figures]})
        return
    screen = console()
    if done.figures:
        rows = [
            (one.name, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}", f"{one.chance:.3f}", str(one.n))
            for one in done.figures
        ]
        headings = ("figure, on held-out items", "value", "95 % interval", "chance", "items")
        screen.print(table(headings, rows, right=(1, 3, 4)))
    was = "was trained before" if done.was_there else "is trained"
    screen.print(f"the bundle {done.bundle} {was}: {short_path(done.card)}", markup=False, soft_wrap=True)
