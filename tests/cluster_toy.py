"""A method whose bodies any process can import: each notes that it ran, and may fail or wait to be killed.

Notes are written to the folder named by SVDAUDIO_TOY_NOTES. A file `fail.STAGE` there makes every computation of that
stage fail with its text, `slow.STAGE` delays it by so many seconds, `held.STAGE` makes it wait until the file is
removed, and the first N computations of a stage with a file `deadly.STAGE` that contains N wait to be killed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from svdaudio.config import RunConfig, SvdConfig, parameter
from svdaudio.engine.method import FileKind, Method, View
from svdaudio.engine.stage import Node, Stage, by_name
from svdaudio.errors import InputError
from svdaudio.session import Session

NOTES = "SVDAUDIO_TOY_NOTES"
PLACE = "cluster_toy:METHOD"
"""For SVDAUDIO_METHODS."""
CLASSES = ("cat", "dog")


class ToyConfig(RunConfig):
    """Parameters of the toy."""

    svd: SvdConfig = SvdConfig()
    threshold: float = parameter(0.5, "what counts as large, in tens", "a number")


def check_numbers(path: Path) -> None:
    """Reject a missing file."""
    if not path.is_file():
        raise InputError(f"{path} cannot be read")


def ran(stage: str) -> None:
    folder = Path(os.environ[NOTES])
    deadly, failing, slow, held = (folder / f"{what}.{stage}" for what in ("deadly", "fail", "slow", "held"))
    is_last = deadly.exists() and len(victims(folder)) < int(deadly.read_text())
    (folder / f"{stage}.{os.getpid()}.{time.monotonic_ns()}.ran").touch()
    if is_last:
        (folder / f"{stage}.{os.getpid()}.waits").touch()
        time.sleep(120)
    if slow.exists():
        time.sleep(float(slow.read_text()))
    while held.exists():
        time.sleep(0.02)
    if failing.exists():
        raise InputError(failing.read_text())


def image(*, file: Path) -> dict[str, Any]:
    ran("image")
    return {"pixels": np.array(file.read_text().split(), dtype=np.float32)}


def align(*, pixels: Any, threshold: float, note: Any) -> dict[str, Any]:
    ran("align")
    grid = pixels >= 10 * threshold
    note(f"{int(grid.sum())} inside")
    return {"grid": grid}


def factors(*, pixels: Any, grid: Any) -> dict[str, Any]:
    ran("factors")
    return {"region": pixels[grid]}


def mix(*, one: Any, other: Any, alpha: float, k: int) -> dict[str, Any]:
    ran("mix")
    return {"waveform": np.resize(np.array([alpha * one.sum(), other.sum(), k], np.float32) / 100, 2205)}


def scores(*, waveform: Any, seed: int) -> dict[str, Any]:
    ran("scores")
    return {"scores": np.array([abs(waveform).mean(), seed % 2], np.float32)}


# fmt: off
IMAGE = Stage(name="image", inputs=("file",), outputs=("pixels",), body="cluster_toy:image",
              summary="numbers of a file")
ALIGN = Stage(name="align", inputs=("pixels",), outputs=("grid",), parameters={"threshold": "threshold"},
              body="cluster_toy:align", summary="which are large")
FACTORS = Stage(name="factors", inputs=("pixels", "grid"), outputs=("region",), body="cluster_toy:factors",
                summary="the large ones")
MIX = Stage(name="mix", inputs=("one", "other"), outputs=("waveform",), body="cluster_toy:mix",
            parameters={"alpha": "svd.alpha", "k": "svd.k"}, summary="a weighted sum")
SCORES = Stage(name="scores", inputs=("waveform",), outputs=("scores",), parameters={"seed": "seed"},
               body="cluster_toy:scores", summary="how loud it is")
# fmt: on


def nodes(config: ToyConfig) -> dict[str, Node]:
    """Two files of numbers, the large ones of each, their weighted sum as a sound, and its scores."""
    del config
    read = [Node(name=f"{one}.image", stage=IMAGE, inputs={"file": f"file:{one}"}) for one in ("original", "edited")]
    found: list[Node] = []
    for one in ("original", "edited"):
        pixels, grid = {"pixels": f"{one}.image.pixels"}, {"grid": f"{one}.align.grid"}
        found += [
            Node(name=f"{one}.align", stage=ALIGN, inputs=pixels),
            Node(name=f"{one}.factors", stage=FACTORS, inputs={**pixels, **grid}),
        ]
    both = {"one": "original.factors.region", "other": "edited.factors.region"}
    return by_name(
        [*read, *found, Node(name="mix", stage=MIX, inputs=both),
         Node(name="mixed.scores", stage=SCORES, inputs={"waveform": "mix.waveform"})]
    )  # fmt: skip


def draw() -> Any:
    """A picture."""
    from matplotlib.figure import Figure

    return Figure(figsize=(12, 2))


def sounds(config: Any) -> dict[str, str]:
    """The one sound."""
    return {"mixed": "mix.waveform"}


def views(arrays: Any) -> list[View]:
    """One picture for Prefect's page, and one that is not shown there."""
    return [
        View(name="mix", nodes=("mix",), draw=draw, in_report=True, on_page=True),
        View(name="scores", nodes=("mixed.scores",), draw=draw, in_report=True),
    ]


NUMBERS = FileKind(name="numbers", checker="cluster_toy:check_numbers")
METHOD = Method(
    name="cluster-toy", summary="sums of numbers", files={"original": NUMBERS, "edited": NUMBERS}, config=ToyConfig,
    nodes=nodes, targets=("mixed.scores",), sounds=sounds, result="mixed", views=views,
)  # fmt: skip


class ToyBundle:
    """A bundle without models."""

    name = "mini"
    settings: dict[str, Any] = {}

    def digests(self, role: str) -> str:
        raise KeyError(role)

    def classes(self, role: str) -> tuple[str, ...]:
        return CLASSES

    def check_domain(self) -> str | None:
        return None


def open_bundle(name: str) -> Any:
    """The bundle, whatever its name."""
    return ToyBundle()


def open_models(bundle: Any, config: Any) -> dict[str, Any]:
    """No models."""
    return {}


class Notes:
    """The notes of the bodies in a folder, and files that control them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fail(self, stage: str, text: str) -> None:
        """Make every computation of a stage fail."""
        (self.folder / f"fail.{stage}").write_text(text)

    def delay(self, stage: str, seconds: float) -> None:
        """Delay every computation of a stage."""
        (self.folder / f"slow.{stage}").write_text(str(seconds))

    def hold(self, stage: str) -> None:
        """Make every computation of a stage wait."""
        (self.folder / f"held.{stage}").touch()

    def release(self, stage: str) -> None:
        """Let waiting computations continue."""
        (self.folder / f"held.{stage}").unlink()

    def kill(self, stage: str, n_deaths: int) -> None:
        """Make the first computations of a stage wait to be killed."""
        (self.folder / f"deadly.{stage}").write_text(str(n_deaths))

    def calls(self) -> Counter[str]:
        """Stage → number of computations, completed or begun."""
        return Counter(path.name.partition(".")[0] for path in self.folder.glob("*.ran"))

    def processes(self, stage: str = "*") -> set[int]:
        """Ids of the processes that computed something."""
        return {int(path.name.split(".")[1]) for path in self.folder.glob(f"{stage}.*.ran")}

    def clear(self) -> None:
        """Remove all notes."""
        for path in self.folder.iterdir():
            path.unlink()


def victims(folder: Path) -> list[int]:
    """Ids of the processes that wait, or waited, to be killed."""
    return [int(path.name.split(".")[1]) for path in folder.glob("*.waits")]


class World:
    """Two files, and sessions on stores in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {"original": folder / "original.txt", "edited": folder / "edited.txt"}
        self.files["original"].write_text("1 2 6 8")
        self.files["edited"].write_text("9 3 7 1")

    def session(self, store: str = "store", runner: Any = None) -> Session:
        """A session on a store in the folder, or at another location."""
        where = store if "://" in store else self.folder / store
        return Session(where, runner=runner, open_bundle=open_bundle, open_models=open_models)

    def request(self, session: Session, **settings: Any) -> Any:
        """The request for everything; `settings` are dotted parameters with `__` for the dot."""
        given = {name.replace("__", "."): value for name, value in settings.items()}
        return session.request(METHOD, self.files, given)
