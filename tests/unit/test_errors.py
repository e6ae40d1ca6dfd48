"""An error as one line."""

from __future__ import annotations

import pytest

from svdaudio.errors import InputError


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "no sound."),
        ({"got": "a folder"}, "no sound: got a folder."),
        ({"expected": 1, "got": 0, "fix": "use one"}, "no sound: expected 1, got 0. Use one."),
        ({"got": "Format not recognised.", "fix": "convert it"}, "no sound: got Format not recognised. Convert it."),
        ({"got": "two\nlines"}, "no sound: got two lines."),
    ],
)
def test_an_error_is_one_line_with_one_full_stop_at_its_ends(given, line):
    assert InputError("no sound", **given).line() == line
