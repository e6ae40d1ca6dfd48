"""`svdaudio evaluate edits`, and the flow that does the same: one edit, few steps, the mini bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_scene import FEW_STEPS, FEW_STEPS_ARGUMENTS

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and what it stands on have warnings of their own


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path):
    """The store's folder."""
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_one_edit_from_the_command_line_and_as_a_flow(cli, prefect_api, store, tmp_path):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.evaluate import evaluate

    told = cli("evaluate", "edits", "--only", "cat-duck", *FEW_STEPS_ARGUMENTS, "--out", tmp_path / "out", "--json")
    assert told.code == 0, told.err
    found = told.json()
    assert (found["edits"], found["bundle"]) == (1, "mini")
    method = found["figures"]["method"]
    assert set(found["figures"]) == {"method", "plain SSV2A of the edit", "direct_mix alone"}
    assert 0 <= method["mean absolute change of what stayed"]["value"] <= 1
    assert all(Path(path).is_file() for path in found["files"].values())
    page = Path(found["files"]["page"]).read_text()
    assert page.startswith("`svdaudio evaluate edits --only cat-duck --set generate.steps=2")

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        again = evaluate(FEW_STEPS, only=["cat-duck"], out=tmp_path / "again")
    assert again["figures"]["method"]["mean rise of what came"] == method["mean rise of what came"]["value"]
    assert Path(again["files"]["page"]).read_text() == page


def test_an_edit_that_there_is_not_is_one_line(cli, store):
    told = cli("evaluate", "edits", "--only", "cat-cat")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "there is no edit 'cat-cat'" in told.err
    assert not store.exists()
