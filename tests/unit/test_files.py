"""Where results may be written, and that they are written completely."""

from __future__ import annotations

import os
import stat

import pytest

from svdaudio.errors import InputError, StoreError
from svdaudio.files import check_place, write_bytes


@pytest.fixture
def places(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "picture.wav").write_bytes(b"read")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("folder.wav", "expected a file, got a folder"),
        ("pipe.wav", "got a device or a pipe"),
        ("picture.wav/sound.wav", "is not a folder"),
        ("picture.wav", "which is an input"),
        ("sound.mp3", r"ends in \.wav, got sound\.mp3"),
        (f"{'n' * 300}.wav", "too long"),
        ("null\0.wav", "null"),
    ],
)
def test_unwritable_places_are_refused(places, name, why):
    with pytest.raises(InputError, match=why) as caught:
        check_place(places / name, kind=".wav", inputs=(places / "picture.wav",))
    assert "\n" not in caught.value.line()


def test_writable_places_are_accepted(places):
    check_place(places / "new" / "sound.WAV", kind=".wav", inputs=(places / "none.png",))


def test_links_are_kept_and_other_kinds_of_files_left_alone(places):
    (places / "link.wav").symlink_to("picture.wav")
    write_bytes(places / "link.wav", b"new")
    assert (places / "link.wav").is_symlink()
    assert (places / "picture.wav").read_bytes() == b"new"
    with pytest.raises(StoreError, match="a device or a pipe"):
        write_bytes(places / "pipe.wav", b"new")
    assert (places / "pipe.wav").is_fifo()


def test_names_may_have_the_maximum_length(tmp_path):
    write_bytes(tmp_path / ("n" * 255), b"x")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0, 0o666)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "sound.wav", b"RIFF")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "sound.wav").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "sound.wav"
    path.write_bytes(b"old")
    path.chmod(mode)
    (tmp_path / "link.wav").symlink_to(path)
    for name in ("sound.wav", "link.wav"):
        write_bytes(tmp_path / name, b"new")
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.wav", "sound.wav"]
