"""The artifacts of a flow on Prefect's page: stages, pictures, scores, links to the sounds."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from toy_method import CLASSES, PAIR, install

from svdaudio.cli import main

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and its dependencies emit warnings


def artifacts(api_url, flow_run_name):
    """Key → artifact of the flow run of that name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterName,
    )
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[flow_run_name]))
        [run] = client.read_flow_runs(flow_run_filter=named)
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        return {one.key: one for one in client.read_artifacts(artifact_filter=of_run)}


def picture(url):
    kind, _, data = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def here(prefect_api, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, render=True)
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    return tmp_path


def test_a_run_publishes_its_results(here, prefect_api, capsys):
    assert main(["run", *PAIR, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert not re.search("INFO|Finished in state", printed.err), "Prefect's own log"
    assert re.search(r"^\[\d+/\d+\] manipulated\.scores: ", printed.err, re.MULTILINE)
    assert "note: edited.locals: one object" in printed.err
    found = artifacts(prefect_api, result["run"])
    sounds = ("original", "edited", "manipulated")
    assert found.keys() == {
        "stages", "removed-mask", "added-mask", "scores",
        *(f"{sound}-{what}" for sound in sounds for what in ("spectrogram", "sound")),
    }  # fmt: skip
    for name in ("removed-mask", "manipulated-spectrogram"):
        assert found[name].type == "image"
        assert 100 < max(picture(found[name].data).size) <= 900
    rows = json.loads(found["scores"].data)
    assert [row["class"] for row in rows] == list(CLASSES)
    assert rows[0]["manipulated"] == round(result["scores"]["manipulated"]["cat"], 3)
    assert Path(result["audio"]["manipulated"]).as_uri() in found["manipulated-sound"].data
    stages = {row["stage"]: row["status"] for row in json.loads(found["stages"].data)}
    assert stages == {entry["stage"]: "computed" for entry in result["stages"]}

    assert main(["run", *PAIR, "--set", "svd.alpha=0.2", "--json"]) == 0
    stages = json.loads(artifacts(prefect_api, json.loads(capsys.readouterr().out)["run"])["stages"].data)
    assert [row["status"] for row in stages if row["stage"] == "mix"] == ["computed"]
    assert [row["status"] for row in stages if row["stage"] == "original.tokens"] == ["cached"]


def test_a_batch_publishes_its_table(here, prefect_api, capsys):
    (here / "pairs.csv").write_text('original,edited,remove,add,name\none.png,two.png,"20,20","40,30",a\n')
    assert main(["batch", "pairs.csv", "--no-baselines", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    found = artifacts(prefect_api, result["batch"])
    assert found.keys() == {"pairs"}
    assert json.loads(found["pairs"].data) == result["pairs"]


def test_markup_in_a_path_is_escaped(here, prefect_api, capsys, monkeypatch):
    (here / "one.png").rename(here / "[a](b) <b>*.png")
    monkeypatch.setenv("SVDAUDIO_STORE", str(here / "st(o)re"))
    assert main(["run", "[a](b) <b>*.png", *PAIR[1:], "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    link = artifacts(prefect_api, result["run"])["manipulated-sound"].data
    text, _, url = link.removeprefix("[").removesuffix(")").partition("](")
    assert re.sub(r"\\(.)", r"\1", text) == result["audio"]["manipulated"]
    assert not re.search(r"(?<!\\)[\[\]<>*_]", text)
    assert not set("()[]<>") & set(url)


def test_names_and_rows():
    from svdaudio.flows.pages import escaped, key, readable, score_rows

    assert key("removed.mask") == "removed-mask"
    assert key("Manipulated_.Sound.") == "manipulated-sound"
    assert readable("Käse \udce9\x1b\n") == "Käse \\udce9\\x1b\\n"
    assert escaped("[a](b)") == r"\[a\]\(b\)"
    assert score_rows({"original": {"dog": 0.12345, "cat": 1.0}}) == [
        {"class": "dog", "original": 0.123},
        {"class": "cat", "original": 1.0},
    ]
    assert score_rows({"original": {"dog": 0.2}, "manipulated": {"dog": 0.9}}) == [
        {"class": "dog", "original": 0.2, "manipulated": 0.9, "change": 0.7}
    ]
