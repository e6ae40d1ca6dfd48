"""Arguments and options that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_METHOD = "The method"
_WHERE = "Where things go"
_HOW = "How it runs"

Original = Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The picture before the edit.", show_default=False)]
Edited = Annotated[Path, typer.Argument(metavar="EDITED", help="The picture after the edit.", show_default=False)]
Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.", show_default=False)]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its name, the start or end of it, or 'latest'.", show_default=False)
]

Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove", metavar="X,Y[,0]", rich_help_panel=_METHOD,
        help="A click on what goes, in pixels of ORIGINAL; with ',0' on what stays out of it. Again for more.",
    ),
]  # fmt: skip
Add = Annotated[
    list[str] | None,
    typer.Option(
        "--add", metavar="X,Y[,0]", rich_help_panel=_METHOD,
        help="A click on what comes, in pixels of EDITED; with ',0' on what stays out of it. Again for more.",
    ),
]  # fmt: skip
PointOption = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="X,Y[,0]", help="A click in pixels; with ',0' on what stays out. Again for more."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", rich_help_panel=_METHOD, help="Parameters in a TOML file (svd.k = 7)."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", rich_help_panel=_METHOD, help="One parameter: svd.k=7. Again for more."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", rich_help_panel=_METHOD, help="Seed of every random draw (default 42).", show_default=False),
]
Bundle = Annotated[
    str | None,
    typer.Option("--bundle", rich_help_panel=_METHOD, help="Which checkpoints (default mini).", show_default=False),
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", metavar="NAME", rich_help_panel=_METHOD, show_default=False,
        help="Whose code generates: diffusers (default), or audioldm, the authors' package, to check with.",
    ),
]  # fmt: skip
NoBaselines = Annotated[
    bool,
    typer.Option(
        "--no-baselines", rich_help_panel=_METHOD, help="Leave out plain SSV2A of the two pictures themselves."
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="DIR|s3://…", envvar="SVDAUDIO_STORE", rich_help_panel=_WHERE, show_default=False,
        help="The store of artifacts: a folder (default ./artifacts of the checkout), or s3://bucket/prefix.",
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", rich_help_panel=_WHERE, help="Write the sound (WAV) or picture here, too."),
]
Prefect = Annotated[
    bool,
    typer.Option("--prefect", rich_help_panel=_HOW, help="Through Prefect, as with PREFECT_API_URL set."),
]
Runner = Annotated[
    Literal["in-process", "prefect", "dask", "ray"] | None,
    typer.Option(
        "--runner", rich_help_panel=_HOW, show_default=False,
        help="What computes the stages; dask and ray are clusters behind a Prefect server (docs/clusters.md).",
    ),
]  # fmt: skip
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ADDRESS", rich_help_panel=_HOW, show_default=False,
        help="With --runner dask or ray: a cluster that runs (default: two processes here, as long as the run).",
    ),
]  # fmt: skip
Json = Annotated[
    bool, typer.Option("--json", rich_help_panel=_HOW, help="One JSON object on standard output, nothing else there.")
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw what there is to see, and print the files.")]
