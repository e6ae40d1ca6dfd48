"""The result of a run in a notebook: verdict, notes, players, small pictures and scores as an HTML fragment.

    html = result_html(run, report)

It needs no other file: sounds are FLAC and pictures JPEG in `data:` URIs, so a saved notebook keeps them. It sets no
colours, so it is readable in light and dark themes.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdaudio.pages.environment import environment
from svdaudio.pages.media import data_uri, flac_uri
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report

MARKS = {True: ("✓", "as intended"), False: ("!", "not as intended"), None: ("·", "unknown")}
"""Whether a finding is as intended → the mark before it and, for screen readers, its meaning."""
LEAST_SCORE_SHOWN = 0.05
"""Classes below this score in every sound are counted, not listed, unless a verdict names them."""
PICTURE_WIDTH = 480
"""In pixels: twice the displayed width, for high-density screens."""
JPEG_QUALITY = 80
DRAWN_AS_HTML = ("scores", "overview")
"""Pictures of a report whose content is shown as HTML instead."""


@dataclass(frozen=True, kw_only=True)
class Player:
    """A sound of a run."""

    name: str
    is_result: bool
    audio: str
    """A `data:` URI; empty if the file is gone."""
    picture: str
    """A `data:` URI of its spectrogram; empty if there is none."""


@dataclass(frozen=True, kw_only=True)
class ScoreLine:
    """The scores of a class."""

    class_name: str
    scores: tuple[str, ...]
    """One per scored sound."""
    change: str
    """From the first sound to the result; empty if there is only one sound."""


def result_html(run: RunRecord, report: Report) -> str:
    """A run and its files as an HTML fragment.

    Args:
        run: the record; only state and error are shown if the run did not finish.
        report: its files; those deleted in the meantime are reported as missing.
    """
    template = environment().get_template("notebook.html.j2")
    lines, n_left = _score_lines(report)
    return template.render(
        run=run,
        files=[Path(use.path).name for use in run.files.values()],
        counts=Counter(entry.status for entry in run.stages),
        verdict=[(*MARKS[finding["ok"]], finding["text"]) for finding in report.verdict],
        notes=[*run.remarks, *report.notes],
        players=list(_players(report)),
        pictures=dict(_pictures(report)),
        sounds=list(report.scores),
        lines=lines,
        n_left=n_left,
        least=LEAST_SCORE_SHOWN,
    )


def _players(report: Report) -> Iterable[Player]:
    for name, path in report.audio.items():
        picture = report.pictures.get(_spectrogram_of(name))
        yield Player(
            name=name,
            is_result=name == report.result and len(report.audio) > 1,
            audio=_audio_uri(path),
            picture="" if picture is None else _picture_uri(picture),
        )


def _spectrogram_of(sound: str) -> str:
    return f"{sound}.spectrogram"


def _pictures(report: Report) -> Iterable[tuple[str, str]]:
    """Name → `data:` URI of each picture other than the spectrograms of the players."""
    elsewhere = {*DRAWN_AS_HTML, *map(_spectrogram_of, report.audio)}
    for name, path in report.pictures.items():
        uri = "" if name in elsewhere else _picture_uri(path)
        if uri:
            yield name, uri


def _audio_uri(path: Path) -> str:
    """A sound file as 16-bit FLAC; empty if it cannot be read."""
    import soundfile

    try:
        return flac_uri(path.read_bytes())
    except (OSError, soundfile.LibsndfileError):
        return ""


def _picture_uri(path: Path) -> str:
    """A picture as a small JPEG; empty if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError:
        return ""
    height = max(1, round(picture.height * PICTURE_WIDTH / picture.width))
    if picture.width > PICTURE_WIDTH:
        picture = picture.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def _score_lines(report: Report) -> tuple[list[ScoreLine], int]:
    """The classes that are heard or that the verdict names, by descending score, and the number of others."""
    tables = list(report.scores.values())
    named = {finding["class_name"] for finding in report.verdict}
    classes = list(dict.fromkeys(name for table in tables for name in table))
    shown = [name for name in classes if name in named or _highest(name, tables) >= LEAST_SCORE_SHOWN]
    shown.sort(key=lambda name: -_highest(name, tables))
    lines = [
        ScoreLine(
            class_name=name,
            scores=tuple(f"{table[name]:.2f}" if name in table else "" for table in tables),
            change=_change(name, report),
        )
        for name in shown
    ]
    return lines, len(classes) - len(shown)


def _highest(name: str, tables: Iterable[Mapping[str, float]]) -> float:
    return max(table.get(name, 0.0) for table in tables)


def _change(name: str, report: Report) -> str:
    sounds = list(report.scores)
    if len(sounds) < 2:
        return ""
    first, last = sounds[0], report.result if report.result in report.scores else sounds[-1]
    values: list[Any] = [report.scores[sound].get(name) for sound in (first, last)]
    return "" if None in values else f"{round(values[1] - values[0], 2) + 0.0:+.2f}"
