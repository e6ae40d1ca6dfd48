import json

import pytest

from svdaudio.text import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dog + cat → duck\tä\n", "dog + cat → duck\tä\n"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\x9b2J", "a\\x0d\\x9b2J"),
        ("txt.\u202egpj", "txt.\\u202egpj"),
        ("\udcff", "\\udcff"),
    ],
)
def test_terminal_control_sequences_are_escaped(text, shown):
    assert printable(text) == shown


def test_json_stays_valid():
    value = {"name": "a\x9b\u202e\udcff\x7f"}
    text = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert text.isascii()
