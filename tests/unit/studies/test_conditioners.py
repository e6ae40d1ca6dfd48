"""The comparison of conditioners: its pictures, and what counts as correct."""

from __future__ import annotations

import pytest

from svdaudio.mini import farm
from svdaudio.studies.conditioners import SSV2A, ConditionerStudy, markdown


@pytest.fixture
def study(tmp_path):
    return ConditionerStudy(folder=tmp_path, n_ones=3, n_twos=2)


def scores(**high):
    return {name: high.get(name, 0.1) for name in farm.CLASSES}


def test_rows_are_pictures_of_one_and_of_two_animals(study):
    rows = study.rows()
    assert [row.name for row in rows] == ["00-cat", "01-chicken", "02-cow", "03-cat-chicken", "04-cat-cow"]
    assert all(row.files["original"].is_file() for row in rows)
    first = rows[0].files["original"].read_bytes()
    assert study.rows()[0].files["original"].read_bytes() == first


def test_the_animals_of_a_picture_must_score_highest(study):
    found = {
        "00-cat": scores(cat=0.9),
        "01-chicken": scores(cat=0.9, chicken=0.8),
        "02-cow": scores(cow=0.2),
        "03-cat-chicken": scores(chicken=0.9, cat=0.5),
        "04-cat-cow": scores(cat=0.9, dog=0.6, cow=0.5),
    }
    assert study.right(found) == {1: [1.0, 0.0, 1.0], 2: [1.0, 0.0]}
    perfect = {name: scores(**dict.fromkeys(scene.animals, 0.9)) for name, scene in study.scenes.items()}
    figures = study.figures({SSV2A: perfect, "ciap": found})
    one, two, less_one, less_two = figures["ciap"]
    assert (one.value, two.value) == (pytest.approx(2 / 3), 0.5)
    assert (less_one.value, less_two.value) == (pytest.approx(-1 / 3), -0.5)
    assert [figure.reached for figure in figures["ciap"]] == [False, False, False, None]
    assert len(figures[SSV2A]) == 2
    page = markdown(figures, command="svdaudio evaluate conditioners", bundle="mini-pretrained")
    assert "| ciap | one animal: it is the top class | 0.667" in page
