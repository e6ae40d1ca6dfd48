"""The sounds of runs as lanes, each with waveform, spectrograms, loudness and scores, all on the same scales."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import group_of
from svdaudio.pages.media import flac_uri, mp3_uri, spectrogram_uris, wave_path
from svdaudio.sounds.finish import SILENCE_LUFS, finish, integrated_loudness
from svdaudio.sounds.rates import OUTPUT_RATE_HZ, VOCODER_RATE_HZ
from svdaudio.views.report import Report
from svdaudio.views.stages import nodes_done

N_SCORES_SHOWN = 3
LEAST_SCORE_SHOWN = 0.05
STYLES = {"original": "original", "edited": "edited"}
"""Sounds that have their own colours, in addition to the result."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One sound."""

    id: str
    """Unique on the page."""
    name: str
    kind: Literal["sound", "stem", "candidate"]
    style: str
    """"original", "edited", "result", "object-1" …, "candidate"."""
    file: str
    """File name of the download."""
    uri: str
    duration_s: float
    loudness_lufs: float | None
    """Integrated; None for silence."""
    scores: Mapping[str, float]
    """Only the highest ones."""
    wave: str
    """SVG path."""
    mel: str
    linear: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class _Sound:
    lane: Lane
    waveform: NDArray[Any]
    """[n_samples] at `OUTPUT_RATE_HZ`."""

    @property
    def identity(self) -> tuple[str, bytes]:
        """Equal for equal sounds with the same name."""
        return self.lane.name, hashlib.sha256(self.waveform.tobytes()).digest()


def lanes(runs: Sequence[tuple[RunArrays, Report]], *, candidates: bool = True) -> list[list[Lane]]:
    """The lanes of each run. The levels of all spectrograms are relative to the loudest sound.

    A sound that an earlier run also has, under the same name, gets no second lane.

    Args:
        runs: the arrays and the files of each run.
        candidates: also show the other candidates, which were not kept.
    """
    taken: set[tuple[str, bytes]] = set()
    sounds: list[list[_Sound]] = []
    for number, (arrays, report) in enumerate(runs):
        new = [one for one in _sounds(number, arrays, report, candidates) if one.identity not in taken]
        taken.update(one.identity for one in new)
        sounds.append(new)
    waveforms = {sound.lane.id: sound.waveform for of_run in sounds for sound in of_run}
    mel, linear = spectrogram_uris(waveforms, "mel"), spectrogram_uris(waveforms, "linear")
    return [
        [replace(one.lane, mel=mel[one.lane.id], linear=linear[one.lane.id]) for one in of_run] for of_run in sounds
    ]


def _sounds(number: int, arrays: RunArrays, report: Report, candidates: bool) -> Iterator[_Sound]:
    stems = report.stems or ()
    others = [name for name in report.audio if name not in STYLES and name != report.result]
    for name, waveform in arrays.sounds().items():
        style = "result" if name == report.result else STYLES.get(name) or f"object-{others.index(name) + 1}"
        scores = sorted(report.scores.get(name, {}).items(), key=lambda one: -one[1])
        yield _sound(
            waveform.ravel(),
            id=f"run{number}-{name}",
            name=name,
            kind="stem" if name in stems else "sound",
            style=style,
            file=f"{report.audio[name].stem}.flac",
            uri=flac_uri(report.audio[name].read_bytes()),
            scores={one: score for one, score in scores[:N_SCORES_SHOWN] if score >= LEAST_SCORE_SHOWN},
            remark=_choice(arrays, name),
        )
    if candidates:
        yield from _candidates(number, arrays)


def _candidates(number: int, arrays: RunArrays) -> Iterator[_Sound]:
    """The candidates that were not kept, finished like the kept one."""
    from svdaudio.sounds.scipy_parts import resample_poly

    for node in nodes_done(arrays, "choose"):
        waveforms, found = arrays.output(arrays.nodes[node].inputs["waveforms"]), arrays[node]
        n_samples = found["waveform"].size
        for place, candidate in enumerate(waveforms):
            if place == _kept(arrays, node):
                continue
            waveform = resample_poly(candidate.ravel().astype(np.float64), OUTPUT_RATE_HZ, VOCODER_RATE_HZ)[:n_samples]
            if (finishing := _finishing(arrays, node)) is not None:
                waveform = finish(waveform[None], OUTPUT_RATE_HZ, **finishing).waveform.ravel()
            yield _sound(
                waveform,
                id=f"run{number}-{group_of(node)}-{place + 1}",
                name=f"{group_of(node)} {place + 1}",
                kind="candidate",
                style="candidate",
                file=f"{group_of(node)}-candidate-{place + 1}.mp3",
                uri=mp3_uri(waveform, OUTPUT_RATE_HZ),
                scores={},
                remark=_similarity(found, place),
            )


def _choice(arrays: RunArrays, sound: str) -> str:
    """Which candidate a sound is, in words; empty if there is only one."""
    node = f"{group_of(arrays.sounds_done()[sound])}.choose"
    if not arrays.has(node) or arrays[node]["similarity"].size < 2:
        return ""
    kept = _kept(arrays, node)
    return f"candidate {kept + 1} of {arrays[node]['similarity'].size}, {_similarity(arrays[node], kept)}"


def _kept(arrays: RunArrays, choose: str) -> int:
    """Index of the candidate that a run kept: the user's pick, or the nearest."""
    pick = arrays.config.generate.pick
    return int(arrays[choose]["choice"]) if pick == "best" else pick - 1


def _similarity(choose: Mapping[str, NDArray[Any]], place: int) -> str:
    return f"CLAP similarity {float(choose['similarity'].ravel()[place]):.3f}"


def _finishing(arrays: RunArrays, choose: str) -> Mapping[str, float] | None:
    """The parameters that the chosen sound was finished with; None if it was not."""
    node = f"{group_of(choose)}.finish"
    return arrays.parameters(node) if arrays.has(node) else None


def _sound(waveform: NDArray[Any], **facts: Any) -> _Sound:
    samples = waveform.astype(np.float64)
    loudness = integrated_loudness(samples, OUTPUT_RATE_HZ)
    lane = Lane(
        duration_s=samples.size / OUTPUT_RATE_HZ,
        loudness_lufs=None if loudness <= SILENCE_LUFS else round(loudness, 2),
        wave=wave_path(samples),
        mel="",
        linear="",
        **facts,
    )
    return _Sound(lane=lane, waveform=samples)
