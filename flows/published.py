"""What a flow shows on Prefect's page beside its tasks: mask overlays, spectrograms, the scores, links to the sounds.

Prefect calls these artifacts; they are no artifacts of the store. Pictures are sent along as data, because a browser
shows no file of a disk within a page that comes from a server; sounds are linked to where they lie.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_image_artifact, create_link_artifact, create_table_artifact

from svdaudio.mini.figures import Figure
from svdaudio.views.report import Report

LONGEST_SIDE = 900
"""Pixels. Prefect's database is no place for large pictures."""
SHOWN = (".mask", ".spectrogram")
N_ROWS = 1000
CHANGE = "change"


def publish(report: Report, run_id: str) -> None:
    """Show what a run has written on the page of the flow run (or task run) that calls this.

    Args:
        report: what was written.
        run_id: of the run, for the descriptions.
    """
    for name, path in report.pictures.items():
        if name.endswith(SHOWN):
            _ = create_image_artifact(image_url=picture_url(path), key=key(name), description=f"{name} of run {run_id}")
    if report.scores:
        _ = create_table_artifact(
            table=score_rows(report.scores), key="scores", description=f"scores of the tagger, run {run_id}"
        )
    for sound, path in report.audio.items():
        _ = create_link_artifact(
            link=path.absolute().as_uri(), link_text=str(path), key=key(f"{sound}.sound"),
            description=f"sound of {sound}, run {run_id}",
        )  # fmt: skip


def publish_table(rows: Sequence[Mapping[str, Any]], batch: str) -> None:
    """Show the results of a batch, as `svdaudio.engine.batches.table` gives them; at most the first `N_ROWS`."""
    first = f", the first {N_ROWS} of {len(rows)} pairs" if len(rows) > N_ROWS else ""
    _ = create_table_artifact(
        table=[dict(row) for row in rows[:N_ROWS]], key="pairs", description=f"pairs of {batch}{first}"
    )


def publish_figures(found: Mapping[str, Sequence[Figure]], batch: str) -> None:
    """Show the figures of an evaluation, one row a figure, one column a variant."""
    rows = [
        {"figure": row[0].name, **{variant: str(figure) for variant, figure in zip(found, row, strict=True)}}
        for row in zip(*found.values(), strict=True)
    ]
    _ = create_table_artifact(table=rows, key="figures", description=f"figures of {batch}")


def score_rows(scores: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """One row a class: its score in each sound, and the change from the first sound to the last."""
    sounds = list(scores)
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for classes in scores.values() for name in classes):
        values = {sound: round(scores[sound][name], 3) for sound in sounds}
        change = {CHANGE: round(scores[sounds[-1]][name] - scores[sounds[0]][name], 3)} if len(sounds) > 1 else {}
        rows.append({"class": name, **values, **change})
    return rows


def picture_url(path: Path) -> str:
    """A picture as a `data:` address, no larger than `LONGEST_SIDE` in either direction."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        small.save(buffer, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def key(name: str) -> str:
    """A name as Prefect's keys are: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
