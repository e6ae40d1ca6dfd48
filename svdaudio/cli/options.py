"""Arguments and options that several commands share, each defined once, and the groups that commands take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from svdaudio.errors import InputError

if TYPE_CHECKING:
    from svdaudio.session import Runner as SessionRunner


def user_path(text: str) -> Path:
    """A path in which `~` stands for the home folder, as shells do not expand it in `--out=~/x.wav`."""
    return Path(text).expanduser()


_METHOD = "The method"
_WHERE = "Where things go"
_HOW = "How it runs"

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="ORIGINAL EDITED",
        help="The pictures before and after the edit; with another --method, its files in its order.",
        show_default=False,
    ),
]
Original = Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The picture before the edit.", show_default=False)]
Edited = Annotated[Path, typer.Argument(metavar="EDITED", help="The picture after the edit.", show_default=False)]
Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.", show_default=False)]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its id, the start or end of it, or 'latest'.", show_default=False)
]

MethodName = Annotated[
    str,
    typer.Option("--method", metavar="NAME", rich_help_panel=_METHOD, help="The workflow to run."),
]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove", metavar="[NAME=]PROMPT", rich_help_panel=_METHOD,
        help="What to remove: a click X,Y in pixels of ORIGINAL (X,Y,0 excludes what it hits), a box "
        "LEFT,TOP,RIGHT,BOTTOM, or a mask file. Repeatable; NAME= tells several objects apart.",
    ),
]  # fmt: skip
Add = Annotated[
    list[str] | None,
    typer.Option(
        "--add", metavar="[NAME=]PROMPT", rich_help_panel=_METHOD,
        help="What was added, in pixels of EDITED; as --remove.",
    ),
]  # fmt: skip
RemoveMask = Annotated[
    list[str] | None,
    typer.Option(
        "--remove-mask", metavar="[NAME=]FILE", rich_help_panel=_METHOD,
        help="A mask of what to remove, whatever the file is called: white, opaque or 1 inside. Repeatable.",
    ),
]  # fmt: skip
AddMask = Annotated[
    list[str] | None,
    typer.Option(
        "--add-mask", metavar="[NAME=]FILE", rich_help_panel=_METHOD, help="A mask of what was added. Repeatable."
    ),
]
PointOption = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="X,Y[,0]", help="A click in pixels; ',0' excludes what it hits. Repeatable."),
]
BoxOption = Annotated[
    str | None, typer.Option("--box", metavar="L,T,R,B", help="A box around the object, in pixels.", show_default=False)
]
MaskFileOption = Annotated[
    str | None, typer.Option("--mask", metavar="FILE", help="A mask file, to check it.", show_default=False)
]
MaskOut = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", parser=user_path, rich_help_panel=_WHERE, show_default=False,
        help="Also write the mask here, .png or .npy, as --remove and --add take it.",
    ),
]  # fmt: skip
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        parser=user_path,
        rich_help_panel=_METHOD,
        help="Parameters in a TOML file (svd.k = 7).",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", rich_help_panel=_METHOD, help="One parameter: svd.k=7. Repeatable."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", rich_help_panel=_METHOD, help="Seed of every random draw (default 42).", show_default=False),
]
Bundle = Annotated[
    str | None,
    typer.Option("--bundle", rich_help_panel=_METHOD, help="Checkpoint bundle (default mini).", show_default=False),
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", metavar="NAME", rich_help_panel=_METHOD, show_default=False,
        help="Code that generates: diffusers (default), or audioldm, the authors' package, for comparison.",
    ),
]  # fmt: skip
Pick = Annotated[
    int | None,
    typer.Option(
        "--pick", metavar="N", min=1, rich_help_panel=_METHOD, show_default=False,
        help="Keep candidate N, counted from 1, instead of the one most similar to what is wanted.",
    ),
]  # fmt: skip
Form = Annotated[
    str | None,
    typer.Option(
        "--form", metavar="FORM", rich_help_panel=_METHOD, show_default=False,
        help="svd, as published (default); fade, objects faded in the edited picture; clap, their embeddings mixed.",
    ),
]  # fmt: skip
NoBaselines = Annotated[
    bool,
    typer.Option("--no-baselines", rich_help_panel=_METHOD, help="Omit plain SSV2A of the two pictures themselves."),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="DIR|s3://…", envvar="SVDAUDIO_STORE", rich_help_panel=_WHERE, show_default=False,
        help="The store of artifacts: a folder (default artifacts, of the checkout or here), or s3://bucket/prefix.",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        parser=user_path,
        rich_help_panel=_WHERE,
        help="Also write the picture here.",
    ),
]
SoundOut = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", parser=user_path, rich_help_panel=_WHERE,
        help="Also write the sound here: .wav, .flac, .ogg or .mp3, with the run and its command in the tags.",
    ),
]  # fmt: skip
Rate = Annotated[
    int | None,
    typer.Option(
        "--rate", metavar="HZ", rich_help_panel=_WHERE, show_default=False,
        help="Sample rate of --out: 22050 (default), 44100 or 48000.",
    ),
]  # fmt: skip
Prefect = Annotated[
    bool,
    typer.Option("--prefect", rich_help_panel=_HOW, help="Run through Prefect, as with PREFECT_API_URL set."),
]
RunnerName = Literal["in-process", "prefect", "dask", "ray"]
Runner = Annotated[
    RunnerName | None,
    typer.Option(
        "--runner", rich_help_panel=_HOW, show_default=False,
        help="Where stages run; dask and ray are clusters behind a Prefect server (docs/clusters.md).",
    ),
]  # fmt: skip
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ADDRESS", rich_help_panel=_HOW, show_default=False,
        help="With --runner dask or ray: a running cluster (default: two local processes, for this run).",
    ),
]  # fmt: skip
BatchRunner = Annotated[
    Literal["in-process", "prefect"] | None,
    typer.Option(
        "--runner", rich_help_panel=_HOW, show_default=False,
        help="In this process, or through Prefect (default in process, unless PREFECT_API_URL is set).",
    ),
]  # fmt: skip
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=1, rich_help_panel=_HOW,
        help="Number of parallel processes; each loads its own models into memory.",
    ),
]  # fmt: skip
OnErrorOption = Annotated[
    Literal["continue", "stop"],
    typer.Option("--on-error", rich_help_panel=_HOW, help="Whether the other pairs continue when one fails."),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--table", metavar="FILE", parser=user_path, rich_help_panel=_WHERE, show_default=False,
        help="The table of results, .csv or .jsonl (default beside the sounds, in the store).",
    ),
]  # fmt: skip
StudyFolder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", parser=user_path, rich_help_panel=_WHERE, show_default=False,
        help="Folder for tables, pictures and the page (default in the store's results folder).",
    ),
]  # fmt: skip
Pictures = Annotated[
    bool, typer.Option("--pictures", help="Also draw masks, spectrograms and scores of every pair: some seconds each.")
]
Json = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=_HOW, help="Print one JSON object on standard output, and nothing else."),
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw pictures of the arrays, and print their paths.")]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameters from a file and from the command line, and the bundle that may recommend others."""

    config: Config = None
    overrides: Set = None
    bundle: Bundle = None

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        return {"bundle": self.bundle} if self.bundle is not None else {}

    @property
    def texts(self) -> Sequence[str]:
        """The overrides, as they were typed."""
        return self.overrides or ()


@dataclass(frozen=True, kw_only=True)
class SoundParameters(Parameters):
    """Parameters of methods that make sound."""

    seed: Seed = None
    backend: Backend = None
    pick: Pick = None

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        more = {"seed": self.seed, "generate.backend": self.backend, "generate.pick": self.pick}
        return {**super().given(), **{name: value for name, value in more.items() if value is not None}}


@dataclass(frozen=True, kw_only=True)
class HearingParameters(Parameters):
    """Parameters of methods that listen and make no sound."""

    seed: Seed = None

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        return {**super().given(), **({} if self.seed is None else {"seed": self.seed})}


@dataclass(frozen=True, kw_only=True)
class EditParameters(SoundParameters):
    """Parameters of an edit: its regions, and whether the pictures' own sounds are made, too."""

    method: MethodName = "manipulate"
    remove: Remove = None
    add: Add = None
    remove_mask: RemoveMask = None
    add_mask: AddMask = None
    form: Form = None
    no_baselines: NoBaselines = False

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        from svdaudio.config import mask_text

        sides = {"remove": (self.remove, self.remove_mask), "add": (self.add, self.add_mask)}
        more = {
            name: [*(prompts or ()), *(mask_text(text) for text in files or ())]
            for name, (prompts, files) in sides.items()
        }
        form = {} if self.form is None else {"edit.form": self.form}
        return {**super().given(), **form, **{name: value for name, value in more.items() if value}}

    @property
    def variant(self) -> str | None:
        """The requested set of targets."""
        return "no_baselines" if self.no_baselines else None


@dataclass(frozen=True, kw_only=True)
class OutOptions:
    """Where a copy of the main sound goes."""

    path: SoundOut = None
    rate_hz: Rate = None


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """Where the stages of a run are computed."""

    prefect: Prefect = False
    runner: Runner = None
    cluster: Cluster = None

    def open(self) -> SessionRunner | None:
        """The runner, or None for this process.

        Raises:
            InputError: the options contradict each other.
        """
        if self.prefect and self.runner == "in-process":
            raise InputError("--prefect and --runner in-process contradict each other", fix="give one of them")
        if self.cluster is not None and self.runner not in ("dask", "ray"):
            raise InputError("--cluster needs a runner that uses one", fix="add --runner dask or --runner ray")
        return open_runner(self.runner or ("prefect" if self.prefect else None), self.cluster)


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How a batch runs, and where its table goes."""

    runner: BatchRunner = None
    workers: Workers = 1
    on_error: OnErrorOption = "continue"
    table: TableFile = None
    as_json: Json = False


def _resident_runner() -> SessionRunner | None:
    """The runner that hands stages to the resident process, if one runs that would compute the same."""
    from svdaudio.resident.place import ENVIRONMENT, OFF, find, identity

    resident = None if os.environ.get(ENVIRONMENT) == OFF else find()
    if resident is None:
        return None
    if resident.identity != identity():
        from svdaudio.cli.output import remark

        remark(
            f"the resident process {resident.pid} is of another version or environment and is not used; "
            "`svdaudio resident stop`, then `start`, renews it"
        )
        return None
    from svdaudio.resident.runner import ResidentRunner

    return ResidentRunner(resident)


def open_runner(name: RunnerName | None, cluster: str | None = None) -> SessionRunner | None:
    """The runner of that name, else the one that the environment selects; None for this process."""
    asked = name or ("prefect" if os.environ.get("PREFECT_API_URL") else "in-process")
    if asked == "in-process":
        return None if name else _resident_runner()
    from svdaudio.flows.run import PrefectRunner

    return PrefectRunner(name=asked, address=cluster)
