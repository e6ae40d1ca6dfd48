"""Pictures of a run as files. Each is drawn once, and copied if another run has the same one.

An index in each folder of results records what every picture shows. A picture that depends only on artifacts is the
same for all runs with these artifacts, so a changed parameter redraws only the pictures of downstream stages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import View
from svdaudio.files import write_bytes
from svdaudio.store.keys import canonical

PICTURES_VERSION = 2
INDEX = ".pictures.json"
N_FOLDERS = 8
"""How many folders of results are searched for a picture: the newest for the same user files."""


def draw_views(folder: Path, arrays: RunArrays, views: Iterable[View]) -> dict[str, Path]:
    """Draw the pictures of some views into a folder, unless they are in it already.

    Args:
        folder: of the run's files, next to the folders of other runs.
        arrays: of the run.
        views: of the run.

    Returns:
        Name of the picture → PNG file.

    Raises:
        StoreError: an artifact is missing or damaged, or a file cannot be written.
    """
    listed: Sequence[View] = list(views)
    index = read_index(folder / INDEX)
    paths = {view.name: folder / f"{view.name}.png" for view in listed}
    shown = {view.name: _shown(arrays, view) for view in listed}
    missing = [
        view
        for view in listed
        if _stamp_in(index, view.name) != shown[view.name]["stamp"] or not paths[view.name].is_file()
    ]
    found = _find(folder, {view.name: shown[view.name] for view in missing if view.of_artifacts})
    for view in missing:
        path = paths[view.name]
        if view.name in found:
            write_bytes(path, found[view.name])
        else:
            from svdaudio.views.plots import save

            save(view.draw(), path)
        index[view.name] = {**shown[view.name], "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if missing:
        write_bytes(folder / INDEX, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode())
    return paths


def read_index(path: Path) -> dict[str, Any]:
    """The index of a folder of results; empty if it is missing or damaged."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _shown(arrays: RunArrays, view: View) -> dict[str, str]:
    """Identifies a picture by its method, which draws its own views, and a digest of its artifacts."""
    shown = [PICTURES_VERSION, view.name, list(view.nodes), [arrays.key(node) for node in view.nodes]]
    return {"method": arrays.method.name, "stamp": hashlib.sha256(canonical(shown).encode()).hexdigest()}


def _stamp_in(index: Mapping[str, Any], name: str) -> str | None:
    """The stamp of a picture in an index; indexes of earlier versions hold only stamps."""
    entry = index.get(name)
    return entry.get("stamp") if isinstance(entry, dict) else entry


def _find(folder: Path, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
    """Name → the same picture from the folder of another run, if there is one. Modified files are ignored."""
    found: dict[str, bytes] = {}
    for other in _neighbours(folder) if wanted else ():
        index = read_index(other / INDEX)
        for name in wanted.keys() - found.keys():
            entry = index.get(name)
            if not isinstance(entry, dict) or any(entry.get(what) != value for what, value in wanted[name].items()):
                continue
            try:
                data = (other / f"{name}.png").read_bytes()
            except OSError:
                continue
            if hashlib.sha256(data).hexdigest() == entry.get("sha256"):
                found[name] = data
        if len(found) == len(wanted):
            break
    return found


def _neighbours(folder: Path) -> Iterator[Path]:
    """The latest folders of results for the same user files, newest first."""
    files = folder.name.rpartition(".")[0]
    dated: list[tuple[int, Path]] = []
    for other in folder.parent.glob(f"{files}.*"):
        try:
            if other != folder:
                dated.append(((other / INDEX).stat().st_mtime_ns, other))
        except OSError:  # without pictures
            continue
    yield from (other for _, other in sorted(dated, reverse=True)[:N_FOLDERS])
