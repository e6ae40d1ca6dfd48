"""Uploaded pictures and masks: limits, names, and owners."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import InputError
from svdaudio.studio import people as library
from svdaudio.studio.people import People, add_mask, add_picture, without_folders
from svdaudio.svd.masks import load_mask


def png(width=40, height=30, shade=0):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def mask_png(width=40, height=30, mode="L"):
    """White, or opaque, in the upper half."""
    inside = np.zeros((height, width), np.uint8)
    inside[: height // 2] = 255
    image = (
        Image.fromarray(inside)
        if mode == "L"
        else Image.merge("RGBA", [Image.new("L", (width, height))] * 3 + [Image.fromarray(inside)])
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def people():
    made = People({})
    yield made
    made.close()


def test_a_picture_belongs_to_the_user_who_uploaded_it(people):
    one, other = people.person(None), people.person(None)
    added = add_picture(one, "cat.png", png())
    assert people.picture(one, added.id).path.read_bytes() == png()
    assert (added.width, added.height, added.name) == (40, 30, "cat.png")
    with pytest.raises(InputError, match="unknown picture"):
        people.picture(other, added.id)
    assert people.person(one.id) is one
    assert people.person("made up").id != "made up", "the studio chooses the ids"


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
def test_file_names_of_uploads_are_not_used_as_paths(people, name, kept):
    person = people.person(None)
    added = add_picture(person, name, png())
    assert added.name == kept
    assert added.path.is_relative_to(person.folder)


def test_invalid_or_too_large_pictures_leave_nothing(people, monkeypatch):
    person = people.person(None)
    with pytest.raises(InputError) as caught:
        add_picture(person, "cat.png", b"<svg onload=alert(1)>")
    assert str(person.folder) not in str(caught.value), "no path of this machine is revealed"
    monkeypatch.setattr(library, "MAX_UPLOAD_PIXELS", 100)
    with pytest.raises(InputError, match="expected at most 100 pixels, got 40 x 30"):
        add_picture(person, "cat.png", png())
    monkeypatch.setattr(library, "MAX_UPLOAD_BYTES", 10)
    with pytest.raises(InputError, match="too large"):
        add_picture(person, "cat.png", png())
    assert list(person.folder.rglob("*.png")) == []


def test_the_oldest_pictures_are_removed(people, monkeypatch):
    monkeypatch.setattr(library, "MAX_PICTURES", 2)
    person = people.person(None)
    ids = [add_picture(person, "cat.png", png(shade=shade)).id for shade in range(3)]
    assert list(person.pictures) == ids[1:]
    assert len(list(person.folder.rglob("*.png"))) == 2


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_a_mask_is_read_like_mask_files_of_the_command_line(people, mode):
    person = people.person(None)
    picture = add_picture(person, "cat.png", png())
    added = add_mask(person, "../mask of cat.png", mask_png(mode=mode), picture)
    assert (added.name, added.width, added.height) == ("mask of cat.png", 40, 30)
    assert load_mask(added.path).sum() == 40 * 15
    assert person.mask(added.id) is added
    with pytest.raises(InputError, match="unknown mask"):
        people.person(None).mask(added.id)
    with pytest.raises(InputError, match="unknown picture"):
        people.picture(person, added.id)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (mask_png(30, 40), "m.png has a different size than cat.png: expected 40 x 30, got 30 x 40"),
        (b"no picture", "m.png is not an image"),
        (b"\x93NUMPY\x01\x00", "m.png is not an image"),
        (png(shade=128), "mostly neither inside nor outside"),
        (png(shade=0), "is empty"),
        (mask_png()[:-30], "truncated or damaged"),
    ],
)
def test_masks_that_do_not_fit_their_picture_leave_nothing(people, data, words):
    person = people.person(None)
    picture = add_picture(person, "cat.png", png())
    with pytest.raises(InputError, match=words) as caught:
        add_mask(person, "m.png", data, picture)
    assert str(person.folder) not in str(caught.value), "no path of this machine is revealed"
    assert person.masks == {}
    assert [path.name for path in person.folder.rglob("*.png")] == ["cat.png"]


def test_limits_of_masks_are_checked_before_decoding(people, monkeypatch):
    person = people.person(None)
    picture = add_picture(person, "cat.png", png())
    monkeypatch.setattr(library, "load_mask", lambda path: pytest.fail("the mask was decoded"))
    monkeypatch.setattr(library, "MAX_UPLOAD_PIXELS", 100)
    with pytest.raises(InputError, match="expected at most 100 pixels, got 40 x 30"):
        add_mask(person, "m.png", mask_png(), picture)
    monkeypatch.setattr(library, "MAX_UPLOAD_BYTES", 10)
    with pytest.raises(InputError, match="the file is too large: expected at most 10 bytes"):
        add_mask(person, "m.png", mask_png(), picture)


def test_refusing_a_mask_keeps_a_picture_of_equal_content(people):
    person = people.person(None)
    picture = add_picture(person, "cat.png", png(shade=128))
    with pytest.raises(InputError, match="mostly neither"):
        add_mask(person, "m.png", png(shade=128), picture)
    assert people.picture(person, picture.id).path.exists()


def test_paths_of_uploads_are_not_revealed(people):
    person = people.person(None)
    picture = add_picture(person, "cat 1.png", png())
    mask = add_mask(person, "m.png", mask_png(), picture)
    text = f"svdaudio run 'cat 1.png' --set 'remove.cat.mask=\"{mask.path}\"', and {picture.path}, /elsewhere/x.png"
    shown = without_folders(text)
    assert shown == "svdaudio run 'cat 1.png' --set 'remove.cat.mask=\"m.png\"', and cat 1.png, /elsewhere/x.png"


def test_uploads_are_removed_with_the_studio(people):
    person = people.person(None)
    path = add_picture(person, "cat.png", png()).path
    people.close()
    assert not path.exists()
