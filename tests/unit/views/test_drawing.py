"""Pictures of artifacts shared with another run are copied; all others are drawn."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from svdaudio.engine.method import View
from svdaudio.views import drawing

NAMES = ("mask", "sound", "page")


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """The names of the pictures that were drawn, in order."""
    names = []

    def save(figure, path):
        names.append(path.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{path.stem} {figure}".encode())

    monkeypatch.setattr("svdaudio.views.plots.save", save)
    return names


def draw(folder, keys, *, method="toy", of_artifacts=("mask", "sound")):
    """Draw a picture of each of three nodes, whose artifacts have the given keys."""
    arrays = SimpleNamespace(method=SimpleNamespace(name=method), key=dict(zip(NAMES, keys, strict=True)).__getitem__)
    views = [
        View(name=name, nodes=(name,), draw=partial(str, key), of_artifacts=name in of_artifacts)
        for name, key in zip(NAMES, keys, strict=True)
    ]
    return drawing.draw_views(folder, arrays, views)


def test_only_changed_pictures_are_drawn(tmp_path, drawn):
    first = draw(tmp_path / "cat.1", "ABC")
    assert drawn == ["mask", "sound", "page"]
    drawn.clear()
    second = draw(tmp_path / "cat.2", "AXY")
    assert drawn == ["sound", "page"]
    assert second["mask"].read_bytes() == first["mask"].read_bytes()
    drawn.clear()
    assert draw(tmp_path / "cat.2", "AXY") == second
    assert drawn == []


def test_a_picture_that_shows_more_than_artifacts_is_always_drawn(tmp_path, drawn):
    draw(tmp_path / "cat.1", "ABC")
    drawn.clear()
    draw(tmp_path / "cat.2", "ABC")
    assert drawn == ["page"]


def test_a_copied_picture_is_a_separate_file(tmp_path):
    first, second = draw(tmp_path / "cat.1", "ABC"), draw(tmp_path / "cat.2", "ABC")
    assert not first["mask"].samefile(second["mask"])


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"edited"), Path.unlink])
def test_a_file_modified_after_drawing_is_not_copied(tmp_path, drawn, damage):
    damage(draw(tmp_path / "cat.1", "ABC")["mask"])
    drawn.clear()
    assert draw(tmp_path / "cat.2", "ABC")["mask"].read_bytes() == b"mask A"
    assert drawn == ["mask", "page"]


def test_pictures_of_other_methods_and_files_are_not_copied(tmp_path, drawn):
    draw(tmp_path / "cat.1", "ABC")
    drawn.clear()
    draw(tmp_path / "cat.2", "ABC", method="another")
    assert drawn == [*NAMES]
    drawn.clear()
    draw(tmp_path / "dog.1", "ABC")
    assert drawn == [*NAMES]


def test_the_newest_folders_are_searched(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(drawing, "N_FOLDERS", 1)
    draw(tmp_path / "cat.1", "ABC")
    draw(tmp_path / "cat.2", "XYZ")
    drawn.clear()
    draw(tmp_path / "cat.3", "XBC")
    assert drawn == ["sound", "page"]


def test_an_index_of_an_earlier_version_only_counts_in_its_own_folder(tmp_path, drawn):
    folder = tmp_path / "cat.1"
    draw(folder, "ABC")
    index = json.loads((folder / drawing.INDEX).read_text())
    (folder / drawing.INDEX).write_text(json.dumps({name: entry["stamp"] for name, entry in index.items()}))
    drawn.clear()
    draw(folder, "ABC")
    assert drawn == []
    draw(tmp_path / "cat.2", "ABC")
    assert drawn == [*NAMES]


@pytest.mark.parametrize("text", ["[", "[]", '{"mask": 3}', '{"mask": {"stamp": 3}}'])
def test_a_damaged_index_is_replaced(tmp_path, drawn, text):
    draw(tmp_path / "cat.1", "ABC")
    (tmp_path / "cat.1" / drawing.INDEX).write_text(text)
    drawn.clear()
    draw(tmp_path / "cat.1", "ABC")
    draw(tmp_path / "cat.2", "ABC")
    assert drawn == [*NAMES, "page"]
