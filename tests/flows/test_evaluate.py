"""`svdaudio evaluate edits` and the equivalent flow: one edit, few steps, the mini bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from farm_scene import FEW_STEPS, FEW_STEPS_ARGUMENTS
from toy_method import install

from svdaudio.engine.batches import policy_of
from svdaudio.store import open_store
from svdaudio.studies.edit_study import Study

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and its dependencies emit warnings

DOG_STAYS = 3
"""A seed of scenes in which a cat becomes a duck and a dog stays: the three classes of the toy."""


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path):
    """The folder of the store."""
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_one_edit_from_the_command_line_and_as_a_flow(cli, prefect_api, store, tmp_path):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from svdaudio.flows.evaluate import evaluate

    result = cli("evaluate", "edits", "--only", "cat-duck", *FEW_STEPS_ARGUMENTS, "--out", tmp_path / "out", "--json")
    assert result.code == 0, result.err
    found = result.json()
    assert (found["edits"], found["bundle"]) == (1, "mini")
    method = found["figures"]["method"]
    assert set(found["figures"]) == {"method", "plain SSV2A of the edit", "direct_mix alone"}
    assert 0 <= method["mean absolute change of the kept class"]["value"] <= 1
    assert all(Path(path).is_file() for path in found["files"].values())
    page = Path(found["files"]["page"]).read_text()
    assert page.startswith("`svdaudio evaluate edits --only cat-duck --set generate.steps=2")

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        again = evaluate(FEW_STEPS, only=["cat-duck"], out=tmp_path / "again")
    assert again["figures"]["method"]["mean rise of the added class"] == method["mean rise of the added class"]["value"]
    assert Path(again["files"]["page"]).read_text() == page
    study, command = Study.of_record(policy_of(open_store(str(store)).runs.load(again["batch"])).study)
    assert (study.folder, study.kinds) == (tmp_path / "again", [("cat", "duck")])
    assert command in page


def test_an_unknown_edit_is_a_one_line_error(cli, store):
    result = cli("evaluate", "edits", "--only", "cat-cat")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "unknown edit 'cat-cat'" in result.err
    assert not store.exists()


def test_resume_writes_the_files_of_an_interrupted_evaluation(cli, monkeypatch, tmp_path):
    def interrupted(**arguments):
        raise KeyboardInterrupt

    install(monkeypatch, tmp_path)
    (tmp_path / "two.toml").write_text("svd.k = 2\n")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse", SimpleNamespace(run=interrupted))
        options = ["--only", "cat-duck", "--scenes", DOG_STAYS, "--config", "two.toml", "--out", "out"]
        assert cli("evaluate", "edits", *options).code == 130
    assert not (tmp_path / "out" / "edits.csv").exists()
    result = cli("resume", "--json")
    assert result.code == 0, result.err
    found = result.json()
    assert found["edits"] == 1
    expected = {"every edit": "edits.csv", "page": "edits.md", "picture": "edits.png", "every run": "runs.csv"}
    assert found["files"] == {what: str(tmp_path / "out" / name) for what, name in expected.items()}
    assert all(Path(path).is_file() for path in found["files"].values())
    page = (tmp_path / "out" / "edits.md").read_text()
    assert page.startswith(f"`svdaudio evaluate edits --only cat-duck --config two.toml --scenes {DOG_STAYS}`: 1 edits")
