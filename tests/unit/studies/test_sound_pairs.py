"""Tables of sounds to evaluate."""

from __future__ import annotations

import pytest

from svdaudio.errors import InputError
from svdaudio.studies.sound_pairs import read_sound_pairs


@pytest.fixture
def read(tmp_path):
    """Reads a table with this text, next to four files."""
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        (tmp_path / name).touch()

    def read(text):
        (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
        return read_sound_pairs(tmp_path / "pairs.csv")

    return read


def test_a_line_names_files_classes_and_a_text(read, tmp_path):
    first, second = read(
        "\ufefforiginal, edited,manipulated,removed,added,kept,text\n"
        'a.wav,b.wav,c.wav,cat,duck,dog; sheep,"a duck, a dog"\n'
        ",,d.wav,,,,\n"
    )
    assert (first.name, second.name) == ("c", "d")
    assert first.sounds == {
        "original": tmp_path / "a.wav", "edited": tmp_path / "b.wav", "manipulated": tmp_path / "c.wav"
    }  # fmt: skip
    assert first.changes == {"added": ("duck",), "removed": ("cat",), "kept": ("dog", "sheep")}
    assert first.text == "a duck, a dog"
    assert (list(second.sounds), second.changes, second.text) == (["manipulated"], {}, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("manipulated,remove\nc.wav,cat\n", "pairs.csv: unknown column 'remove': expected name or original"),
        ("original,edited\na.wav,b.wav\n", "the column 'manipulated' is missing: got original, edited"),
        ("", "the column 'manipulated' is missing: got an empty file"),
        ("manipulated,manipulated\n", "a column occurs twice"),
        ("manipulated\n", "no pairs found in"),
        ("manipulated,added\nc.wav,duck,dog\n", "line 2: more cells than columns"),
        ("original,manipulated\na.wav,\n", "line 2: the sound 'manipulated' is missing"),
        ("manipulated\nc.wav\nx.wav\n", r"line 3: audio file not found: .*x.wav"),
        ("manipulated\nc.wav\nc.wav\n", "line 3: the name is already used: got c"),
        ('manipulated\n"c.wav\n', "is not valid CSV"),
    ],
)
def test_an_unusable_table_is_reported_in_one_line(read, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "\n" not in caught.value.line()


def test_a_missing_table(tmp_path):
    with pytest.raises(InputError, match="cannot be read: got No such file"):
        read_sound_pairs(tmp_path / "x.csv")
