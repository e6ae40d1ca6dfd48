"""Fixtures for every test: a toy workflow of tiny stages that the engine runs like the real one."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxtyping
import numpy as np
import pytest

from svdaudio.config import Resolved
from svdaudio.engine.journal import Progress, no_progress
from svdaudio.engine.method import FileKind, Method
from svdaudio.engine.request import Request, new_run
from svdaudio.engine.run import RunWork, Stopping, execute_run, never_stop
from svdaudio.engine.stage import Node, Nodes, Stage, by_name
from svdaudio.methods.manipulate import ManipulateConfig
from svdaudio.store import LocalStore, RunRecord

if TYPE_CHECKING:
    from s3 import S3Server


def _image(*, file: Path) -> dict[str, Any]:
    return {"pixels": np.array(file.read_text().split(), dtype=np.float32)}


def _align(*, pixels: Any, threshold: float, note: Callable[[str], None]) -> dict[str, Any]:
    grid = pixels >= 10 * threshold
    note(f"{int(grid.sum())} inside")
    return {"grid": grid, "n_inside": np.array(grid.sum())}


def _factors(*, pixels: Any, grid: Any) -> dict[str, Any]:
    return {"region": pixels[grid], "rest": pixels[~grid][:0].reshape(0, 768)}


def _mix(*, one: Any, other: Any, alpha: float, k: int) -> dict[str, Any]:
    first, second = (array.sum(dtype=np.float64) for array in (one, other))
    return {"embedding": np.array([alpha * first, second, k], dtype=np.float32)}


def _scores(*, embedding: Any, seed: int, tagger: float) -> dict[str, Any]:
    noise = np.random.default_rng(seed).random(3, dtype=np.float32)
    return {"scores": embedding * np.float32(tagger) + noise}


BODIES: dict[str, Callable[..., dict[str, Any]]] = {
    "image": _image, "align": _align, "factors": _factors, "mix": _mix, "scores": _scores,
}  # fmt: skip

TOY_STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="image",
            inputs=("file",),
            outputs=("pixels",),
            body="conftest:_image",
            summary="numbers of a text file",
        ),
        Stage(
            name="align",
            inputs=("pixels",),
            outputs=("grid", "n_inside"),
            parameters={"threshold": "align.threshold"},
            body="conftest:_align",
            summary="which are large",
        ),
        Stage(
            name="factors",
            inputs=("pixels", "grid"),
            outputs=("region", "rest"),
            body="conftest:_factors",
            summary="the large ones",
        ),
        Stage(
            name="mix",
            inputs=("one", "other"),
            outputs=("embedding",),
            parameters={"alpha": "svd.alpha", "k": "svd.k"},
            body="conftest:_mix",
            summary="a weighted sum",
        ),
        Stage(
            name="scores",
            inputs=("embedding",),
            outputs=("scores",),
            models=("tagger",),
            parameters={"seed": "seed"},
            body="conftest:_scores",
            summary="by the model",
        ),
    )
}


def toy_nodes(config: ManipulateConfig) -> Nodes:
    """Two files of numbers, the large ones of each, their weighted sum, and scores of that."""
    del config
    nodes: list[Node] = []
    for name in ("original", "edited"):
        nodes += [
            Node(name=f"{name}.image", stage=TOY_STAGES["image"], inputs={"file": f"file:{name}"}),
            Node(name=f"{name}.align", stage=TOY_STAGES["align"], inputs={"pixels": f"{name}.image.pixels"}),
            Node(
                name=f"{name}.factors",
                stage=TOY_STAGES["factors"],
                inputs={"pixels": f"{name}.image.pixels", "grid": f"{name}.align.grid"},
            ),
        ]
    nodes += [
        Node(
            name="mix",
            stage=TOY_STAGES["mix"],
            inputs={"one": "original.factors.region", "other": "edited.factors.region"},
        ),
        Node(name="manipulated.scores", stage=TOY_STAGES["scores"], inputs={"embedding": "mix.embedding"}),
    ]
    return by_name(nodes)


NUMBERS = FileKind(name="numbers", checker="builtins:str")
TOY_METHOD = Method(
    name="toy",
    summary="sums of numbers",
    files={"original": NUMBERS, "edited": NUMBERS},
    config=ManipulateConfig,
    nodes=toy_nodes,
    targets=("manipulated.scores",),
)
TOY_NODES = toy_nodes(ManipulateConfig())


@dataclass(frozen=True, kw_only=True)
class ToyBundle:
    """Models that are one number each; their digests are its text."""

    name: str = "toy"
    numbers: Mapping[str, float] = field(default_factory=lambda: {"tagger": 2.0})
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def digests(self, role: str) -> str:
        return f"digest of {self.numbers[role]}"

    def classes(self, role: str) -> tuple[str, ...]:
        del role
        return ("cat", "dog", "duck")

    def check_domain(self) -> str | None:
        return None


class ToyWorld:
    """A store, two files and a workflow, with a count of the computations.

    `failing` maps stages that should fail to their errors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: LocalStore = LocalStore(folder / "store", durable=False)
        self.bundle = ToyBundle()
        self.method = TOY_METHOD
        self.config = ManipulateConfig()
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, Exception] = {}
        self.files = {"original": folder / "original.txt", "edited": folder / "edited.txt"}
        self.files["original"].write_text("1 2 6 8")
        self.files["edited"].write_text("9 3 7 1")

    def request(self, **changes: Any) -> Request:
        """The request for everything; `changes` are dotted parameters with `__` for the dot."""
        config = self.config.model_dump()
        for name, value in changes.items():
            section, _, leaf = name.rpartition("__")
            (config[section] if section else config)[leaf] = value
        resolved = Resolved(config=ManipulateConfig.model_validate(config), sources={}, remarks=[])
        return Request(method=self.method, files=self.files, resolved=resolved, bundle=self.bundle)

    @property
    def models(self) -> Mapping[str, float]:
        return self.bundle.numbers

    def work(self, request: Request | None = None, **changes: Any) -> RunWork:
        """A new run of a request, with the toy's models and bodies unless `changes` names others."""
        request = request or self.request()
        run = changes.pop("run", None) or new_run(request)
        parts = {"models": self.models, "body": self.body, **changes}
        return RunWork(request=request, store=self.store, run=run, **parts)

    def run(
        self,
        request: Request | None = None,
        progress: Progress = no_progress,
        stopping: Stopping = never_stop,
        **work: Any,
    ) -> RunRecord:
        """Execute a request in process."""
        self.calls.clear()
        return execute_run(self.work(request, **work), progress, stopping)

    def with_model(self, number: float) -> None:
        """Replace the model."""
        self.bundle = replace(self.bundle, numbers={"tagger": number})

    def body(self, stage: Stage) -> Callable[..., dict[str, Any]]:
        """The body of a toy stage, counted."""

        @functools.wraps(BODIES[stage.name])
        def counted(**arguments: Any) -> dict[str, Any]:
            self.calls[stage.name] += 1
            if stage.name in self.failing:
                raise self.failing[stage.name]
            return BODIES[stage.name](**arguments)

        return counted


@pytest.fixture(scope="session", autouse=True)
def _no_flushing() -> Iterator[None]:
    """Disable flushing to disk in this process: it is slow, and no test simulates a power failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture
def toy(tmp_path: Path) -> ToyWorld:
    """A toy world in a temporary folder."""
    return ToyWorld(tmp_path)


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[S3Server]:
    from s3 import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def s3(_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 server, and environment variables that point to it."""
    _s3_server.faults.clear()
    _s3_server.requests.clear()
    for name, value in _s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return _s3_server


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Disable shape checks, for code that rejects wrong shapes itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def _hearing_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from made_up_files import write_hearing_bundle

    root = tmp_path_factory.mktemp("checkpoints")
    for name, n_dims in (("hearing", 24), ("misfit", 16)):
        (root / name).mkdir()
        write_hearing_bundle(root / name, ("cat", "dog", "owl"), n_dims=n_dims)
    return root


@pytest.fixture
def hearing(_hearing_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound `a.wav` and pictures in `pictures/`; bundles of made-up weights: `hearing`, and `misfit`.

    The sound encoder and the guide of `misfit` have different spaces.
    """
    import soundfile
    from PIL import Image

    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(_hearing_checkpoints))
    rng = np.random.default_rng(0)
    tone = 0.3 * np.sin(np.arange(24_000) / 7) + 0.01 * rng.standard_normal(24_000)
    soundfile.write(tmp_path / "a.wav", tone, 16_000)
    (tmp_path / "pictures" / "below").mkdir(parents=True)
    for name in ("one", "two", "below/three"):
        pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{name}.png")
    return tmp_path
