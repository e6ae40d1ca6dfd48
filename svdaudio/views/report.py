"""What a run hands over: WAV files, pictures and scores, written from its artifacts alone.

Files go into one folder per result, named after the pictures and the keys of every stage: the same work gives the
same folder, and what is in it already is not drawn again.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.errors import SvdAudioError
from svdaudio.files import write_bytes
from svdaudio.store.keys import canonical

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from svdaudio.store import RunRecord, Store

SAMPLE_RATE_HZ = 22_050
VOCODER_RATE_HZ = 16_000
MEL_HOP_S = 160 / VOCODER_RATE_HZ
SOUNDS = ("original", "edited", "manipulated")
REGIONS = ("removed", "added")
SHOWN_UP_TO_HZ = 8000.0
PICTURES_VERSION = 1
INDEX = ".pictures.json"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written for a run.

    Args:
        folder: where everything is.
        audio: name of the sound → WAV file.
        pictures: name of the picture → PNG file.
        scores: name of the sound → class → score, 0 to 1.
    """

    folder: Path
    audio: Mapping[str, Path] = field(default_factory=dict[str, Path])
    pictures: Mapping[str, Path] = field(default_factory=dict[str, Path])
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])

    def results(self) -> dict[str, Any]:
        """The report as plain data, for the record of the run."""
        return {
            "folder": str(self.folder),
            "audio": {name: str(path) for name, path in self.audio.items()},
            "pictures": {name: str(path) for name, path in self.pictures.items()},
            "scores": {name: dict(scores) for name, scores in self.scores.items()},
        }


Read = Callable[[str], "dict[str, NDArray[Any]]"]
"""Gives the arrays of a node by its name."""


class RunArtifacts:
    """The arrays of a run by the names of its nodes, each read once.

    Args:
        run: the record that says which nodes are done.
        read: gives the arrays of a node that is.
    """

    def __init__(self, run: RunRecord, read: Read) -> None:
        self.run = run
        self._read = read
        self._loaded: dict[str, dict[str, NDArray[Any]]] = {}

    @classmethod
    def in_store(cls, run: RunRecord, store: Store) -> RunArtifacts:
        """The arrays as they are in the store; one that is gone or damaged is an error."""

        def read(node: str) -> dict[str, NDArray[Any]]:
            entry = run.stage(node)
            if entry is None or entry.key is None:
                raise KeyError(node)
            return store.load(entry.key)

        return cls(run, read)

    def key(self, node: str) -> str | None:
        """The key of a node's artifact, or None if the run has not got as far."""
        entry = self.run.stage(node)
        done = entry is not None and entry.status in ("cached", "computed")
        return entry.key if entry is not None and done else None

    def has(self, *nodes: str) -> bool:
        """Whether every one of `nodes` is part of the run, and done."""
        return all(self.key(node) is not None for node in nodes)

    def parameters(self, node: str) -> Mapping[str, Any]:
        """The parameters that entered a node, by their local names."""
        entry = self.run.stage(node)
        return {} if entry is None or entry.action is None else entry.action.parameters

    def __getitem__(self, node: str) -> dict[str, NDArray[Any]]:
        """The arrays of a node that is done."""
        if node not in self._loaded:
            self._loaded[node] = self._read(node)
        return self._loaded[node]


def wav_bytes(waveform: NDArray[Any], *, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """A WAV file of 16-bit PCM, one channel.

    Args:
        waveform: [n_samples] or [1, n_samples], -1 to 1; what lies beyond is cut off.
        sample_rate_hz: of the waveform.

    Raises:
        SvdAudioError: the waveform holds numbers that are not finite.
    """
    import numpy as np

    samples = np.asarray(waveform, dtype=np.float64).ravel()
    if not np.isfinite(samples).all():
        raise SvdAudioError(
            "the waveform is not finite", fix="compute it again; `svdaudio doctor` checks the installation"
        )
    pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()


def output_folder(root: Path, run: RunRecord) -> Path:
    """Where the files of a run go: the names of its pictures, and a digest over the keys of its stages."""
    names = [re.sub(r"[^A-Za-z0-9_-]+", "_", Path(use.path).stem)[:40] or "picture" for use in run.files.values()]
    keys = {entry.node: entry.key for entry in run.stages}
    digest = hashlib.sha256(canonical(keys).encode()).hexdigest()
    return root / f"{'-'.join(dict.fromkeys(names))}.{digest[:10]}"


def write_report(artifacts: RunArtifacts, *, root: Path, class_names: Sequence[str], pictures: bool = True) -> Report:
    """Write the sounds of a run as WAV files, its pictures as PNG, and read its scores.

    Args:
        artifacts: of the run; what it has not got to is left out.
        root: the folder in which the run's own folder is made.
        class_names: of the tagger, in the order of its scores.
        pictures: draw masks, spectrograms and scores, too.

    Raises:
        StoreError: an artifact is gone or damaged, or the files cannot be written.
    """
    folder = output_folder(root, artifacts.run)
    audio: dict[str, Path] = {}
    for sound in SOUNDS:
        if artifacts.has(f"{sound}.choose"):
            audio[sound] = folder / f"{sound}.wav"
            data = wav_bytes(artifacts[f"{sound}.choose"]["waveform"])
            if not audio[sound].is_file() or audio[sound].read_bytes() != data:
                write_bytes(audio[sound], data)
    scores = {s: class_scores(artifacts, s, class_names) for s in SOUNDS if artifacts.has(f"{s}.scores")}
    drawn = _write_pictures(folder, list(_run_pictures(artifacts, scores))) if pictures else {}
    return Report(folder=folder, audio=audio, pictures=drawn, scores=scores)


def class_scores(artifacts: RunArtifacts, sound: str, class_names: Sequence[str]) -> dict[str, float]:
    """Class → score of one sound, in the order of the tagger's classes."""
    values = artifacts[f"{sound}.scores"]["scores"].ravel()
    return {name: round(float(value), 6) for name, value in zip(class_names, values, strict=True)}


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """A picture to draw: its name, what it shows (for not drawing it twice), and how."""

    name: str
    nodes: tuple[str, ...]
    keys: tuple[str | None, ...]
    draw: Callable[[], Figure]

    @property
    def stamp(self) -> str:
        shown = [PICTURES_VERSION, self.name, list(self.nodes), list(self.keys)]
        return hashlib.sha256(canonical(shown).encode()).hexdigest()


def draw_node(
    artifacts: RunArtifacts, node: str, *, root: Path, class_names: Sequence[str], object_names: Sequence[str]
) -> dict[str, Path]:
    """Draw what there is to see of one node of a run: name of the picture → PNG file.

    Args:
        artifacts: of the run.
        node: a node that is done ("removed.mask").
        root: the folder in which the run's own folder is made.
        class_names: of the tagger, in the order of its scores.
        object_names: of the detector, by class number.
    """
    found = list(_node_pictures(artifacts, node, class_names, object_names))
    return _write_pictures(output_folder(root, artifacts.run), found)


def _write_pictures(folder: Path, pictures: Sequence[_Picture]) -> dict[str, Path]:
    index_path = folder / INDEX
    try:
        index: dict[str, str] = json.loads(index_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        index = {}
    paths = {picture.name: folder / f"{picture.name}.png" for picture in pictures}
    missing = [p for p in pictures if index.get(p.name) != p.stamp or not paths[p.name].is_file()]
    if missing:
        from svdaudio.views.plots import save

        for picture in missing:
            save(picture.draw(), paths[picture.name])
            index[picture.name] = picture.stamp
        write_bytes(index_path, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode())
    return paths


def _run_pictures(artifacts: RunArtifacts, scores: Mapping[str, Mapping[str, float]]) -> Iterator[_Picture]:
    """The pictures of a whole run: masks, spectrograms, scores, and the page with all of them."""
    regions = [r for r in REGIONS if artifacts.has(f"{r}.mask", f"{_picture_of(r)}.image")]
    sounds = [s for s in SOUNDS if artifacts.has(f"{s}.choose")]
    for region in regions:
        nodes = (f"{region}.mask", f"{_picture_of(region)}.image")
        yield _picture(artifacts, f"{region}.mask", nodes, partial(_draw_mask, artifacts, region))
    for sound in sounds:
        yield _picture(artifacts, f"{sound}.spectrogram", (f"{sound}.choose",), partial(_draw_sound, artifacts, sound))
    if scores:
        nodes = tuple(f"{sound}.scores" for sound in scores)
        yield _picture(artifacts, "scores", nodes, partial(_draw_scores, scores))
    if regions and sounds and scores:
        nodes = (
            *(node for r in regions for node in (f"{r}.mask", f"{_picture_of(r)}.image")),
            *(f"{sound}.choose" for sound in sounds),
            *(f"{sound}.scores" for sound in scores),
        )
        yield _picture(artifacts, "overview", nodes, partial(_draw_overview, artifacts, regions, sounds, scores))


def _picture(artifacts: RunArtifacts, name: str, nodes: tuple[str, ...], draw: Callable[[], Figure]) -> _Picture:
    return _Picture(name=name, nodes=nodes, keys=tuple(artifacts.key(node) for node in nodes), draw=draw)


def _picture_of(region: str) -> str:
    return {"removed": "original", "added": "edited"}[region]


def _region(artifacts: RunArtifacts, region: str) -> Any:
    from svdaudio.views import plots

    found = artifacts[f"{region}.mask"]
    points = [(x, y, label) for x, y, label in artifacts.parameters(f"{region}.mask").get("points", ())]
    share = float(found["mask"].mean())
    return plots.Region(
        mask=found["mask"],
        points=points,
        colour=plots.REMOVED_COLOUR if region == "removed" else plots.ADDED_COLOUR,
        title=f"{region}: {share:.1%} of the picture, score {float(found['score']):.2f}",
    )


def _draw_mask(artifacts: RunArtifacts, region: str) -> Figure:
    from svdaudio.views import plots

    return plots.mask_overlay(artifacts[f"{_picture_of(region)}.image"]["pixels"], _region(artifacts, region))


def _levels(artifacts: RunArtifacts, sound: str) -> tuple[NDArray[Any], float]:
    from svdaudio.views import plots

    waveform = artifacts[f"{sound}.choose"]["waveform"].ravel()
    levels = plots.log_mel(waveform, sample_rate_hz=SAMPLE_RATE_HZ, highest_hz=SHOWN_UP_TO_HZ)
    return levels, len(waveform) / SAMPLE_RATE_HZ


def _draw_sound(artifacts: RunArtifacts, sound: str) -> Figure:
    return _draw_waveform(artifacts[f"{sound}.choose"]["waveform"].ravel(), SAMPLE_RATE_HZ, sound)


def _draw_scores(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    from svdaudio.views import plots

    return plots.score_bars(scores, title="scores of the tagger")


def _draw_overview(
    artifacts: RunArtifacts, regions: Sequence[str], sounds: Sequence[str], scores: Mapping[str, Mapping[str, float]]
) -> Figure:
    from svdaudio.views import plots

    return plots.overview(
        [(artifacts[f"{_picture_of(r)}.image"]["pixels"], _region(artifacts, r)) for r in regions],
        {sound: _levels(artifacts, sound) for sound in sounds},
        scores,
        highest_hz=SHOWN_UP_TO_HZ,
        title=f"bundle {artifacts.run.bundle}, seed {artifacts.run.config.get('seed')}",
    )


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What class numbers mean: the tagger's and the detector's."""

    classes: Sequence[str]
    objects: Sequence[str]


_Found = Iterator[tuple[str, Callable[[], "Figure"], tuple[str, ...]]]
"""Ending of the picture's name, how to draw it, and the other nodes that it shows."""


def _node_pictures(
    artifacts: RunArtifacts, node: str, class_names: Sequence[str], object_names: Sequence[str]
) -> Iterator[_Picture]:
    """Pictures of one node, by the kind of its stage. A kind with nothing to see gives none."""
    entry = artifacts.run.stage(node)
    if entry is None or not artifacts.has(node) or entry.stage not in _PICTURES_OF_STAGE:
        return
    place = node.rpartition(".")[0]
    names = _Names(classes=class_names, objects=object_names)
    for ending, draw, others in _PICTURES_OF_STAGE[entry.stage](artifacts, place, names):
        if artifacts.has(*others):
            yield _picture(artifacts, f"{node}.{ending}" if ending else node, (node, *others), draw)


def _of_mask(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    yield "", partial(_draw_mask, artifacts, place), (f"{_picture_of(place)}.image",)


def _of_tokens(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    yield "likeness", partial(_draw_tokens, artifacts, place), (f"{place}.image",)


def _of_align(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    yield "grid", partial(_draw_grid, artifacts, place), (f"{_picture_of(place)}.image",)


def _of_factors(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    yield "singular_values", partial(_draw_singular_values, artifacts, place), ()


def _of_mix(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del place, names
    yield "similarities", partial(_draw_mix, artifacts), ()


def _of_locals(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    yield "boxes", partial(_draw_boxes, artifacts, place, names.objects), (f"{place}.image",)


def _of_remix(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    others = tuple(f"{s}.remix" for s in SOUNDS if s != place and artifacts.has(f"{s}.remix"))
    if others:
        yield "similarities", partial(_draw_claps, artifacts), others


def _of_decode(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    from svdaudio.views.plots import spectrogram

    mels = artifacts[f"{place}.decode"]["mel"]
    for number, mel in enumerate(mels.reshape(-1, *mels.shape[-2:]), start=1):
        title = f"{place}, candidate {number}: log-mel spectrogram"
        yield f"{number}", partial(spectrogram, mel, duration_s=len(mel) * MEL_HOP_S, title=title), ()


def _of_vocode(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    waveforms = artifacts[f"{place}.vocode"]["waveforms"]
    for number, waveform in enumerate(waveforms.reshape(-1, waveforms.shape[-1]), start=1):
        yield f"{number}", partial(_draw_waveform, waveform, VOCODER_RATE_HZ, f"{place}, candidate {number}"), ()


def _of_choose(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    del names
    yield "spectrogram", partial(_draw_sound, artifacts, place), ()


def _of_scores(artifacts: RunArtifacts, place: str, names: _Names) -> _Found:
    yield "bars", partial(_draw_scores, {place: class_scores(artifacts, place, names.classes)}), ()


_PICTURES_OF_STAGE: Mapping[str, Callable[[RunArtifacts, str, _Names], _Found]] = {
    "mask": _of_mask,
    "tokens": _of_tokens,
    "align": _of_align,
    "factors": _of_factors,
    "mix": _of_mix,
    "locals": _of_locals,
    "remix": _of_remix,
    "decode": _of_decode,
    "vocode": _of_vocode,
    "choose": _of_choose,
    "scores": _of_scores,
}


def _draw_waveform(waveform: NDArray[Any], sample_rate_hz: int, title: str) -> Figure:
    from svdaudio.views import plots

    levels = plots.log_mel(waveform, sample_rate_hz=sample_rate_hz, highest_hz=SHOWN_UP_TO_HZ)
    duration_s = waveform.size / sample_rate_hz
    return plots.spectrogram(levels, duration_s=duration_s, title=title, highest_hz=SHOWN_UP_TO_HZ)


def _draw_tokens(artifacts: RunArtifacts, place: str) -> Figure:
    from svdaudio.views import plots

    found = artifacts[f"{place}.tokens"]
    return plots.patch_map(
        artifacts[f"{place}.image"]["pixels"],
        found["tokens"][1:] @ found["embedding"],
        geometry=artifacts.parameters(f"{place}.tokens")["geometry"],
        title=f"{place}: likeness of each patch to the whole picture",
        label="cosine with the image embedding",
    )


def _draw_grid(artifacts: RunArtifacts, region: str) -> Figure:
    from svdaudio.views import plots

    found, parameters = artifacts[f"{region}.align"], artifacts.parameters(f"{region}.align")
    return plots.patch_grid(
        artifacts[f"{_picture_of(region)}.image"]["pixels"],
        found["coverage"],
        found["grid"],
        geometry=parameters["geometry"],
        threshold=parameters["threshold"],
        title=region,
        colour=plots.REMOVED_COLOUR if region == "removed" else plots.ADDED_COLOUR,
    )


def _draw_singular_values(artifacts: RunArtifacts, region: str) -> Figure:
    from svdaudio.views import plots

    parameters: Mapping[str, Any] = artifacts.run.config["svd"]
    k, factor = int(parameters["k"]), float(parameters["alpha" if region == "removed" else "beta"])
    before = artifacts[f"{region}.factors"]["s"]
    after = before.copy()
    after[:k] *= factor
    return plots.singular_values(before, after, k=k, factor=factor, title=region)


def _draw_mix(artifacts: RunArtifacts) -> Figure:
    from svdaudio.views import plots

    embeddings = {"mix": artifacts["mix"]["embedding"], **{n: artifacts["mix"][n] for n in ("suppress", "boost")}}
    if artifacts.has("background") and artifacts["background"]["embedding"].size:
        embeddings["background"] = artifacts["background"]["embedding"]
    for name in ("original", "edited"):
        if artifacts.has(f"{name}.tokens"):
            embeddings[name] = artifacts[f"{name}.tokens"]["embedding"]
    return plots.similarities(embeddings, title="the mix and what went into it")


def _draw_claps(artifacts: RunArtifacts) -> Figure:
    from svdaudio.views import plots

    claps = {sound: artifacts[f"{sound}.remix"]["clap"] for sound in SOUNDS if artifacts.has(f"{sound}.remix")}
    return plots.similarities(claps, title="CLAP embeddings of the sounds wanted")


def _draw_boxes(artifacts: RunArtifacts, place: str, object_names: Sequence[str]) -> Figure:
    from svdaudio.views import plots

    found = artifacts[f"{place}.locals"]
    numbers = [int(number) for number in found["classes"].ravel()]
    names = [object_names[n] if n < len(object_names) else f"class {n}" for n in numbers]
    title = f"{place}: {len(names)} objects"
    return plots.boxes(artifacts[f"{place}.image"]["pixels"], found["boxes"], found["scores"], names, title=title)
