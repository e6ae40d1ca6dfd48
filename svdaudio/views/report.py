"""The output files of a run: sounds, pictures and scores, made only from its artifacts.

Each result has a folder, named after the user files and a digest of the keys of all stages. So equal runs share a
folder, and pictures that it already holds are not drawn again.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import Method
from svdaudio.engine.request import BundleFacts
from svdaudio.errors import SvdAudioError
from svdaudio.files import write_bytes
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.store.keys import canonical
from svdaudio.views.domain import domain_notes
from svdaudio.views.drawing import draw_views, read_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.store import RunRecord

REPORT_VERSION = 3
REPORT_INDEX = ".report.json"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The files of a run, and its scores, measures and notes.

    Args:
        folder: the folder of all files.
        audio: name of the sound → WAV file.
        pictures: name of the picture → PNG file.
        scores: name of the sound → class → score, 0 to 1.
        measures: group → name → figure, from the method.
        verdict: the findings on each object, each with the fields of `svdaudio.verdicts.Finding`.
        stems: names of the sounds that add up to the result; None if the method makes no stems.
        result: name of the run's main sound.
        notes: of the method, and on pictures unlike the training pictures of the bundle.
        on_page: names of the pictures for the page of a flow run.
    """

    folder: Path
    audio: Mapping[str, Path] = field(default_factory=dict[str, Path])
    pictures: Mapping[str, Path] = field(default_factory=dict[str, Path])
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    measures: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    verdict: Sequence[Mapping[str, Any]] = ()
    stems: tuple[str, ...] | None = None
    result: str = ""
    notes: tuple[str, ...] = ()
    on_page: tuple[str, ...] = ()

    def results(self) -> dict[str, Any]:
        """The report as plain data, for the record of the run."""
        return {
            "folder": str(self.folder),
            "audio": {name: str(path) for name, path in self.audio.items()},
            "pictures": {name: str(path) for name, path in self.pictures.items()},
            "scores": {name: dict(scores) for name, scores in self.scores.items()},
            "notes": list(self.notes),
            **{name: dict(figures) for name, figures in self.measures.items()},
            **({"result": self.result} if self.result else {}),
            **({"verdict": [dict(finding) for finding in self.verdict]} if self.verdict else {}),
        }


def wav_bytes(waveform: NDArray[Any], *, sample_rate_hz: int = OUTPUT_RATE_HZ, as_float: bool = False) -> bytes:
    """A mono WAV file in 16-bit PCM or in float32.

    Args:
        waveform: [n_samples] or [1, n_samples], -1 to 1; samples out of range are clipped in PCM, and kept in float32.
        sample_rate_hz: of the waveform.
        as_float: use float32, which is lossless, so that the files of stems add up to that of the mix.

    Raises:
        SvdAudioError: the waveform is not finite.
    """
    import numpy as np
    import soundfile

    samples = np.asarray(waveform, dtype=np.float64).ravel()
    if not np.isfinite(samples).all():
        raise SvdAudioError("the waveform is not finite", fix="recompute it; `svdaudio doctor` checks the installation")
    buffer = io.BytesIO()
    if as_float:
        soundfile.write(buffer, samples.astype(np.float32), sample_rate_hz, format="WAV", subtype="FLOAT")
    else:
        pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)
        soundfile.write(buffer, pcm, sample_rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def output_folder(root: Path, run: RunRecord, method: Method) -> Path:
    """The folder of a run's files, named after the user files and a digest of the keys of its stages."""
    names = [re.sub(r"[^A-Za-z0-9_-]+", "_", Path(use.path).stem)[:40] or "picture" for use in run.files.values()]
    keys = {entry.node: entry.key for entry in run.stages if entry.node not in method.figures}
    digest = hashlib.sha256(canonical(keys).encode()).hexdigest()
    return root / f"{'-'.join(dict.fromkeys(names))}.{digest[:10]}"


def write_report(arrays: RunArrays, *, root: Path, pictures: bool = True, bundle: BundleFacts | None = None) -> Report:
    """Write the sounds of a run as WAV files and its pictures as PNG, and read its scores, measures and notes.

    An index in the folder records from which keys the files were written. If it matches and the files are intact, no
    array is read, so a fully cached run takes only a look-up.

    Args:
        arrays: of the run; nodes that it did not reach are omitted.
        root: the parent of the run's folder.
        pictures: also draw the views of the report.
        bundle: of the run, for notes on pictures unlike its training pictures.

    Raises:
        StoreError: an artifact is missing or damaged, or the files cannot be written.
        CheckpointError: the bundle's description of its training pictures is damaged.
    """
    folder = output_folder(root, arrays.run, arrays.method)
    index: dict[str, Any] = read_index(folder / REPORT_INDEX)
    domain = None if bundle is None else bundle.check_domain()
    stamp = _report_stamp(arrays, domain)
    sounds = index.get("sounds", {})
    stems = None if arrays.method.stems is None else arrays.method.stems(arrays.config)
    in_sum = (*stems, arrays.method.result_of(arrays.config)) if stems else ()
    if index.get("stamp") != stamp or not all(
        _holds(folder / f"{name}.wav", digest) for name, digest in sounds.items()
    ):
        index = {
            "stamp": stamp,
            "sounds": {
                name: _write_sound(folder / f"{name}.wav", wave, as_float=name in in_sum)
                for name, wave in arrays.sounds().items()
            },
            "scores": arrays.scores(),
            "measures": {name: dict(figures) for name, figures in arrays.method.measures(arrays).items()},
            "verdict": [finding.results() for finding in arrays.method.verdict(arrays)],
            "notes": [
                *arrays.method.notes(arrays),
                *(domain_notes(arrays, bundle.load_domain()) if bundle is not None and domain is not None else ()),
            ],
        }
        if index["sounds"]:
            write_bytes(folder / REPORT_INDEX, (json.dumps(index, indent=1) + "\n").encode())
    views = [view for view in arrays.method.views(arrays) if view.in_report] if pictures else []
    return Report(
        folder=folder,
        audio={name: folder / f"{name}.wav" for name in index["sounds"]},
        pictures=draw_views(folder, arrays, views),
        scores=index["scores"],
        measures=index["measures"],
        verdict=index["verdict"],
        result=arrays.method.result_of(arrays.config),
        stems=stems,
        notes=tuple(index["notes"]),
        on_page=tuple(view.name for view in views if view.on_page),
    )


def _report_stamp(arrays: RunArrays, domain: str | None) -> str:
    """A digest of what sounds, scores and notes depend on: keys of all stages, names of classes, and the domain."""
    keys = {entry.node: arrays.key(entry.node) for entry in arrays.run.stages}
    classes = list(arrays.score_names()) if arrays.scores_done() else []
    return hashlib.sha256(canonical([REPORT_VERSION, arrays.method.name, keys, classes, domain]).encode()).hexdigest()


def _write_sound(path: Path, waveform: NDArray[Any], *, as_float: bool) -> str:
    """Write a sound unless its file holds it already; return the sha256 of the file."""
    data = wav_bytes(waveform, as_float=as_float)
    digest = hashlib.sha256(data).hexdigest()
    if not _holds(path, digest):
        write_bytes(path, data)
    return digest


def _holds(path: Path, digest: str) -> bool:
    """Whether a file has this sha256."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False


def draw_nodes(arrays: RunArrays, nodes: Collection[str], *, root: Path) -> dict[str, Path]:
    """Draw the views of nodes of a run.

    Args:
        arrays: of the run.
        nodes: names of nodes; nodes that were not computed have no pictures.
        root: the parent of the run's folder.

    Returns:
        Name of the picture → PNG file.
    """
    views = [view for view in arrays.method.views(arrays) if not view.of_run and view.nodes[0] in nodes]
    return draw_views(output_folder(root, arrays.run, arrays.method), arrays, views)
