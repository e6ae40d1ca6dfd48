"""The content of a flow run's page in addition to its tasks: stages, pictures, scores, links to the sounds.

Prefect calls these artifacts; they are not artifacts of the store. Pictures are sent as data, because browsers do not
show local files in a page from a server; sounds are links to their files.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import Artifact, ImageArtifact, LinkArtifact, TableArtifact

from svdaudio.figures import Figure
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report

LONGEST_SIDE = 900
"""In pixels; Prefect's database is not made for large pictures."""
N_ROWS = 1000
CHANGE = "change"


def show_run(run: RunRecord, report: Report) -> None:
    """Show a finished run on the page of the calling flow run.

    Args:
        run: the run's record.
        report: the run's files.
    """
    stages = [
        {"stage": entry.node, "status": entry.status, "seconds": round(entry.seconds, 3), "reason": entry.reason}
        for entry in run.stages
    ]
    found: list[Artifact] = [_table("stages", stages, f"stages of run {run.id}")]
    for name in report.on_page:
        url = picture_url(report.pictures[name])
        found.append(ImageArtifact(image_url=url, key=key(name), description=f"{escaped(name)} of run {run.id}"))
    if report.scores:
        found.append(_table("scores", score_rows(report.scores), f"class scores of run {run.id}"))
    for sound, path in report.audio.items():
        url = path.absolute().as_uri().replace("(", "%28").replace(")", "%29")
        text = f"sound of {escaped(sound)}, run {run.id}"
        found.append(LinkArtifact(link=url, link_text=escaped(str(path)), key=key(f"{sound}.sound"), description=text))
    _create(found)


def show_table(rows: Sequence[Mapping[str, Any]], batch: str) -> None:
    """Show the results of a batch, as `svdaudio.engine.batches.table` returns them; at most `N_ROWS` rows."""
    first = f", the first {N_ROWS} of {len(rows)} pairs" if len(rows) > N_ROWS else ""
    _create([_table("pairs", rows[:N_ROWS], f"pairs of {batch}{first}")])


def show_figures(found: Mapping[str, Sequence[Figure]], batch: str) -> None:
    """Show the figures of an evaluation, with one row per figure and one column per variant."""
    rows = [
        {"figure": row[0].name, **{variant: str(figure) for variant, figure in zip(found, row, strict=True)}}
        for row in zip(*found.values(), strict=True)
    ]
    _create([_table("figures", rows, f"figures of {batch}")])


def _table(name: str, rows: Sequence[Mapping[str, Any]], description: str) -> Artifact:
    cells = [{readable(column): _cell(value) for column, value in row.items()} for row in rows]
    return TableArtifact(table=cells, key=name, description=description)


def _cell(value: object) -> object:
    return readable(value) if isinstance(value, str) else value


def _create(artifacts: Sequence[Artifact]) -> None:
    """Send artifacts to the server. An error is logged and does not fail the run."""
    try:
        for artifact in artifacts:
            artifact.create(_sync=True)  # pyright: ignore[reportCallIssue] - `create` dispatches on it
    except Exception as error:  # noqa: BLE001 - as the docstring says
        get_run_logger().warning("the page of this run is incomplete: %s", " ".join(str(error).split()))


def score_rows(scores: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """One row per class: its score in each sound, and the change from the first sound to the last."""
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
    """A name as a key of Prefect: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def readable(text: str) -> str:
    """A text in which non-printable characters, as file names may contain them, are escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)


def escaped(text: str) -> str:
    """A text escaped for Markdown."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~])", r"\\\1", readable(text))
