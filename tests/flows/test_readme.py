"""The README's Python example runs, with fewer steps and its own store; docs/commands.md lists every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from farm_scene import FEW_STEPS

from svdaudio.cli.app import app

ROOT = Path(__file__).parents[2]
CLICKS = '{"remove": "756,581", "add": "756,570"}'
STORE = 'Session("artifacts")'


@pytest.mark.filterwarnings("default")
def test_the_example_of_a_session(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert code.count(CLICKS) == code.count(STORE) == 1
    settings = {"remove": "756,581", "add": "756,570", **FEW_STEPS}
    code = code.replace(CLICKS, repr(settings)).replace(STORE, f"Session({str(tmp_path / 'store')!r})")
    monkeypatch.chdir(ROOT)
    names = {}
    exec(code, names)
    assert names["mixed"].shape == (768,)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(names["request"].nodes) + 1
    assert lines[0].startswith("original.image run never computed")
    assert lines[-1].endswith("manipulated.wav")


def test_every_command_is_in_the_table_of_its_group():
    text = (ROOT / "docs" / "commands.md").read_text()
    for name, command in typer.main.get_command(app).commands.items():
        if not command.hidden:
            group = text.partition(f"\n## {command.rich_help_panel}\n")[2].partition("\n## ")[0]
            assert re.search(rf"`{name}[` ]", group), f"{name} is missing from {command.rich_help_panel}"
