"""Pictures that people upload: limits, names, and whose they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import InputError
from svdaudio.studio import people as library
from svdaudio.studio.people import People, add_picture


def png(width=40, height=30, shade=0):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def people():
    made = People({})
    yield made
    made.close()


def test_a_picture_belongs_to_the_person_who_uploaded_it(people):
    one, other = people.person(None), people.person(None)
    added = add_picture(one, "cat.png", png())
    assert people.picture(one, added.id).path.read_bytes() == png()
    assert (added.width, added.height, added.name) == (40, 30, "cat.png")
    with pytest.raises(InputError, match="no such picture"):
        people.picture(other, added.id)
    assert people.person(one.id) is one
    assert people.person("made up").id != "made up", "ids are given, not chosen"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\pictures\\cat.png", "cat.png"),
        ("a<b>'\".png", "a_b___.png"),
        ("..", "picture.png"),
        ("", "picture.png"),
        ("x" * 300 + ".png", "x" * 60 + ".png"),
        ("Kätzchen 1.png", "Kätzchen 1.png"),
    ],
)
def test_a_name_leads_nowhere(people, name, kept):
    person = people.person(None)
    added = add_picture(person, name, png())
    assert added.name == kept
    assert added.path.is_relative_to(person.folder)


def test_what_is_no_picture_or_too_large_leaves_nothing(people, monkeypatch):
    person = people.person(None)
    with pytest.raises(InputError) as caught:
        add_picture(person, "cat.png", b"<svg onload=alert(1)>")
    assert str(person.folder) not in str(caught.value), "no path of this machine is told"
    monkeypatch.setattr(library, "MAX_UPLOAD_PIXELS", 100)
    with pytest.raises(InputError, match="expected at most 100 pixels, got 40 x 30"):
        add_picture(person, "cat.png", png())
    monkeypatch.setattr(library, "MAX_UPLOAD_BYTES", 10)
    with pytest.raises(InputError, match="too large"):
        add_picture(person, "cat.png", png())
    assert list(person.folder.rglob("*.png")) == []


def test_the_oldest_pictures_are_forgotten(people, monkeypatch):
    monkeypatch.setattr(library, "MAX_PICTURES", 2)
    person = people.person(None)
    ids = [add_picture(person, "cat.png", png(shade=shade)).id for shade in range(3)]
    assert list(person.pictures) == ids[1:]
    assert len(list(person.folder.rglob("*.png"))) == 2


def test_uploads_end_with_the_studio(people):
    person = people.person(None)
    path = add_picture(person, "cat.png", png()).path
    people.close()
    assert not path.exists()
