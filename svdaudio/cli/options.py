"""Arguments and options that several commands share, and the groups in which commands take them."""

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
    from svdaudio.studies.pairs import Common


def user_path(text: str) -> Path:
    """A path in which `~` means the home folder: shells do not expand it in `--out=~/x.wav`."""
    return Path(text).expanduser()


_METHOD = "Method"
_OUTPUT = "Output and store"
_EXECUTION = "Execution"

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="ORIGINAL EDITED",
        help="The pictures before and after the edit; for another --method, its input files in order.",
    ),
]
Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run: its id, the start or end of its id, or 'latest'.")]

MethodName = Annotated[
    str, typer.Option("--method", metavar="NAME", rich_help_panel=_METHOD, help="The workflow to run.")
]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove", metavar="[NAME=]PROMPT", rich_help_panel=_METHOD,
        help="The object to remove: a click X,Y in pixels of ORIGINAL (X,Y,0 excludes what is there), a box "
        "LEFT,TOP,RIGHT,BOTTOM, or a mask file. Repeatable; NAME= distinguishes several objects.",
    ),
]  # fmt: skip
Add = Annotated[
    list[str] | None,
    typer.Option(
        "--add", metavar="[NAME=]PROMPT", rich_help_panel=_METHOD,
        help="The object that was added, in pixels of EDITED; given like --remove.",
    ),
]  # fmt: skip
RemoveMask = Annotated[
    list[str] | None,
    typer.Option(
        "--remove-mask", metavar="[NAME=]FILE", rich_help_panel=_METHOD,
        help="A mask file of the object to remove, whatever its name: white, opaque or 1 inside. Repeatable.",
    ),
]  # fmt: skip
AddMask = Annotated[
    list[str] | None,
    typer.Option(
        "--add-mask", metavar="[NAME=]FILE", rich_help_panel=_METHOD,
        help="A mask file of the object that was added. Repeatable.",
    ),
]  # fmt: skip
PointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--point", metavar="X,Y[,0]", help="A click on the object, in pixels; ',0' excludes what is there. Repeatable."
    ),
]
BoxOption = Annotated[str | None, typer.Option("--box", metavar="L,T,R,B", help="A box around the object, in pixels.")]
MaskFileOption = Annotated[str | None, typer.Option("--mask", metavar="FILE", help="A mask file to check.")]
MaskOut = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", parser=user_path, rich_help_panel=_OUTPUT,
        help="Also write the mask to this file, .png or .npy, for --remove and --add.",
    ),
]  # fmt: skip
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", parser=user_path, rich_help_panel=_METHOD,
        help="A TOML file of parameters (svd.k = 7).",
    ),
]  # fmt: skip
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", rich_help_panel=_METHOD, help="Set one parameter: svd.k=7. Repeatable."
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", rich_help_panel=_METHOD, help="Seed of every random draw (default 42).")
]
Bundle = Annotated[
    str | None, typer.Option("--bundle", rich_help_panel=_METHOD, help="Checkpoint bundle (default mini).")
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", metavar="NAME", rich_help_panel=_METHOD,
        help="Implementation of AudioLDM: diffusers (default), or audioldm, the authors' package, for comparison.",
    ),
]  # fmt: skip
Pick = Annotated[
    int | None,
    typer.Option(
        "--pick", metavar="N", min=1, rich_help_panel=_METHOD,
        help="Keep candidate N, counted from 1, instead of the best match.",
    ),
]  # fmt: skip
Form = Annotated[
    str | None,
    typer.Option(
        "--form", metavar="FORM", rich_help_panel=_METHOD,
        help="How the edit is made: svd, as published (default); fade, by fading objects in the edited picture; clap, "
        "by mixing their embeddings.",
    ),
]  # fmt: skip
NoBaselines = Annotated[
    bool,
    typer.Option("--no-baselines", rich_help_panel=_METHOD, help="Skip the plain SSV2A sounds of the two pictures."),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="DIR|s3://…", envvar="SVDAUDIO_STORE", rich_help_panel=_OUTPUT,
        help="Artifact store: a folder (default artifacts, in the checkout or here), or s3://bucket/prefix.",
    ),
]  # fmt: skip
SoundOut = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", parser=user_path, rich_help_panel=_OUTPUT,
        help="Also write the sound to this file, .wav, .flac, .ogg or .mp3, with the run and its command in the tags.",
    ),
]  # fmt: skip
Rate = Annotated[
    int | None,
    typer.Option(
        "--rate", metavar="HZ", rich_help_panel=_OUTPUT,
        help="Sample rate of --out: 22050 (default), 44100 or 48000.",
    ),
]  # fmt: skip
Prefect = Annotated[
    bool,
    typer.Option("--prefect", rich_help_panel=_EXECUTION, help="Run through Prefect, as with PREFECT_API_URL set."),
]
RunnerName = Literal["in-process", "prefect", "dask", "ray"]
Runner = Annotated[
    RunnerName | None,
    typer.Option(
        "--runner", rich_help_panel=_EXECUTION,
        help="Where stages run; dask and ray are clusters behind a Prefect server (docs/clusters.md).",
    ),
]  # fmt: skip
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ADDRESS", rich_help_panel=_EXECUTION,
        help="A running cluster for --runner dask or ray (default two local processes for this run).",
    ),
]  # fmt: skip
BatchRunner = Annotated[
    Literal["in-process", "prefect"] | None,
    typer.Option(
        "--runner", rich_help_panel=_EXECUTION,
        help="Where stages run: in this process (default, unless PREFECT_API_URL is set) or through Prefect.",
    ),
]  # fmt: skip
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=1, rich_help_panel=_EXECUTION,
        help="Number of parallel processes; each loads its own models into memory.",
    ),
]  # fmt: skip
OnErrorOption = Annotated[
    Literal["continue", "stop"],
    typer.Option("--on-error", rich_help_panel=_EXECUTION, help="Whether the other pairs continue when one fails."),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--table", metavar="FILE", parser=user_path, rich_help_panel=_OUTPUT,
        help="The table of results, .csv or .jsonl (default next to the sounds in the store).",
    ),
]  # fmt: skip
StudyFolder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", parser=user_path, rich_help_panel=_OUTPUT,
        help="Folder for tables, pictures and the page (default in the store's results folder).",
    ),
]  # fmt: skip
Pictures = Annotated[
    bool,
    typer.Option(
        "--pictures", help="Also draw masks, spectrograms and scores, which takes some seconds for each pair."
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=_EXECUTION, help="Print one JSON object on standard output, nothing else."),
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw pictures of the arrays, and print their paths.")]


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameters from a file and from the command line, and the bundle, which may recommend others."""

    config: Config = None
    overrides: Set = None
    bundle: Bundle = None

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        return _without_none(bundle=self.bundle)

    @property
    def texts(self) -> Sequence[str]:
        """The overrides, as they were typed."""
        return self.overrides or ()

    def common(self, variant: str | None = None) -> Common:
        """The parameters that all pairs of a batch have in common."""
        from svdaudio.studies.pairs import Common

        return Common(config_file=self.config, overrides=self.texts, given=self.given(), variant=variant)


@dataclass(frozen=True, kw_only=True)
class HearingParameters(Parameters):
    """Parameters of methods that listen and make no sound."""

    seed: Seed = None

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        return super().given() | _without_none(seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class SoundParameters(HearingParameters):
    """Parameters of methods that make sound."""

    backend: Backend = None
    pick: Pick = None

    def given(self) -> dict[str, Any]:
        """Dotted name → value of the options that were given."""
        return super().given() | _without_none(**{"generate.backend": self.backend, "generate.pick": self.pick})


@dataclass(frozen=True, kw_only=True)
class EditParameters(SoundParameters):
    """Parameters of an edit: its regions, its form, and whether the sounds of the pictures themselves are omitted."""

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
        regions = {
            name: [*(prompts or ()), *(mask_text(text) for text in files or ())] or None
            for name, (prompts, files) in sides.items()
        }
        return super().given() | _without_none(**{"edit.form": self.form}, **regions)

    @property
    def variant(self) -> str | None:
        """The requested set of targets."""
        return "no_baselines" if self.no_baselines else None


@dataclass(frozen=True, kw_only=True)
class OutOptions:
    """A file for a copy of the main sound, and its sample rate."""

    path: SoundOut = None
    rate_hz: Rate = None


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The store of a run, what computes its stages, and whether its result is printed as JSON."""

    store: Store = None
    prefect: Prefect = False
    runner: Runner = None
    cluster: Cluster = None
    as_json: Json = False

    def open_runner(self) -> SessionRunner | None:
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
class BatchExecution:
    """The same as `Execution`, for commands that run batches."""

    store: Store = None
    workers: Workers = 1
    runner: BatchRunner = None
    as_json: Json = False

    def open_runner(self) -> SessionRunner | None:
        """The runner, or None for this process."""
        return open_runner(self.runner)


@dataclass(frozen=True, kw_only=True)
class BatchOptions(BatchExecution):
    """How a batch runs, and where its table is written."""

    on_error: OnErrorOption = "continue"
    table: TableFile = None


@dataclass(frozen=True, kw_only=True)
class StudyOptions(BatchExecution):
    """How the batches of a study run, and where its results are written."""

    out: StudyFolder = None


def _resident_runner() -> SessionRunner | None:
    """The runner that passes stages to the resident process, if there is one of this version and environment."""
    from svdaudio.resident.place import ENVIRONMENT, OFF, find, identity

    resident = None if os.environ.get(ENVIRONMENT) == OFF else find()
    if resident is None:
        return None
    if resident.identity != identity():
        from svdaudio.cli.output import print_note

        print_note(
            f"the resident process {resident.pid} has another version or environment and is not used; restart it with "
            "`svdaudio resident stop` and `start`"
        )
        return None
    from svdaudio.resident.runner import ResidentRunner

    return ResidentRunner(resident)


def open_runner(name: RunnerName | None, cluster: str | None = None) -> SessionRunner | None:
    """The runner with that name, or the one that the environment selects; None for this process."""
    chosen = name or ("prefect" if os.environ.get("PREFECT_API_URL") else "in-process")
    if chosen == "in-process":
        return None if name else _resident_runner()
    from svdaudio.flows.run import PrefectRunner

    return PrefectRunner(name=chosen, address=cluster)
