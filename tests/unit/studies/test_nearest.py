"""The pictures of a folder that are nearest to a sound."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import CheckpointError, InputError
from svdaudio.session import Session
from svdaudio.studies.nearest import nearest_pictures, pictures_of

BUNDLE = {"bundle": "hearing"}


@pytest.fixture
def session(hearing):
    return Session(hearing / "store")


@pytest.fixture
def sound():
    vector = np.random.default_rng(3).standard_normal(24).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_pictures_are_found_by_their_extensions(hearing):
    folder = hearing / "pictures"
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.png").write_bytes(b"x")
    assert [path.name for path in pictures_of(folder)] == ["three.png", "one.png", "two.png"]
    with pytest.raises(InputError, match="is not a folder"):
        pictures_of(hearing / "nowhere")
    (hearing / "empty").mkdir()
    with pytest.raises(InputError, match="there are no pictures in"):
        pictures_of(hearing / "empty")


def test_a_second_search_computes_nothing(session, hearing, sound):
    pictures = pictures_of(hearing / "pictures")
    first = nearest_pictures(session, sound, pictures, BUNDLE, n_nearest=2)
    assert (first.n_pictures, first.n_computed, first.unreadable) == (3, 3, {})
    assert len(first.nearest) == 2
    assert first.nearest[0].cosine > first.nearest[1].cosine
    again = nearest_pictures(session, sound, pictures, BUNDLE, n_nearest=3)
    assert again.n_computed == 0
    assert again.nearest[:2] == first.nearest
    assert list(session.runs) == []


def test_a_picture_itself_is_nearest_to_its_own_embedding(session, hearing):
    pictures = pictures_of(hearing / "pictures")
    run = session.run(session.request("see", [pictures[2]], BUNDLE)).run
    own = session.arrays(run)["picture.see"]["embedding"][0]
    (found,) = nearest_pictures(session, own, pictures, BUNDLE, n_nearest=1).nearest
    assert found.picture == pictures[2]
    assert found.cosine == pytest.approx(1, abs=1e-5)


def test_damaged_pictures_are_listed_unless_all_are_damaged(session, hearing, sound):
    bad = hearing / "pictures" / "bad.png"
    bad.write_bytes(b"not a picture")
    found = nearest_pictures(session, sound, pictures_of(hearing / "pictures"), BUNDLE, n_nearest=9)
    assert found.n_pictures == len(found.nearest) == 3
    assert list(found.unreadable) == [bad]
    assert "is not an image" in found.unreadable[bad]
    with pytest.raises(InputError, match="none of the 1 pictures can be read"):
        nearest_pictures(session, sound, [bad], BUNDLE, n_nearest=1)


def test_a_sound_of_another_space_is_refused(session, hearing):
    with pytest.raises(CheckpointError, match="different spaces"):
        nearest_pictures(session, np.ones(7, np.float32), pictures_of(hearing / "pictures"), BUNDLE, n_nearest=1)
