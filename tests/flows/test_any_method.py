"""Every feature of the program, tested with an external method (tests/listening_method.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from listening_method import METHOD, PLACE
from PIL import Image

from svdaudio.methods import find_method, method_names
from svdaudio.session import Session

FILES = ["bell.wav", "poem.txt", "one.png"]
NODES = ["sound.listen", "text.read", "picture.image", "made.blend", "made.judge"]
LISTENING = [*FILES, "--method", "listening"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVDAUDIO_METHODS", PLACE)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "bell.wav", random.uniform(-0.5, 0.5, 4410).astype(np.float32), 22_050)
    (tmp_path / "poem.txt").write_text("rain on the roof")
    Image.fromarray(random.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "one.png")
    return tmp_path


def statuses(result):
    return {stage["stage"]: stage["status"] for stage in result["stages"]}


def test_the_method_is_found_by_name(folder):
    assert find_method("listening") is METHOD
    assert method_names()[-1] == "listening"


def test_plan_run_and_run_again(folder, cli):
    planned = cli("plan", *LISTENING, "--json").json()["stages"]
    assert Counter(stage["status"] for stage in planned) == {"run": 3, "unknown": 2}
    first = cli("run", *LISTENING, "--json", "--out", "made.wav").json()
    assert set(statuses(first).values()) == {"computed"}
    assert sorted(statuses(first)) == sorted(NODES)
    assert first["audio"] == {"made": str(folder / "made.wav")}
    assert soundfile.info("made.wav").frames == 4410
    assert set(first["scores"]["made"]) >= {"cat", "dog", "duck"}
    again = cli("run", *LISTENING, "--json").json()
    assert set(statuses(again).values()) == {"cached"}
    changed = cli("run", *LISTENING, "--set", "blend.weight=0.25", "--json").json()
    assert Counter(statuses(changed).values()) == {"cached": 3, "computed": 2}
    assert cli("plan", *LISTENING, "--json").json()["stages"][0]["status"] == "cached"


def test_its_nodes_depend_on_its_configuration(folder, cli):
    result = cli("run", *LISTENING, "--set", "blend.n_echoes=2", "--json").json()
    assert "made.echo" in statuses(result)
    plain = cli("run", *LISTENING, "--json").json()
    assert Counter(statuses(plain).values()) == {"cached": 4, "computed": 1}


def test_show_inspect_compare_and_provenance(folder, cli):
    cli("run", *LISTENING)
    cli("run", *LISTENING, "--set", "blend.weight=0.25")
    shown = cli("show", "latest", "--json").json()
    assert (shown["kind"], shown["files"]["text"]) == ("listening", str(folder / "poem.txt"))
    assert shown["config"]["blend.weight"] == {"value": 0.25, "from": "--set"}
    assert shown["results"]["levels"]["made"] > 0
    assert "weight of the text" in cli("show", "latest").out
    looked = cli("inspect", "latest", "made.blend", "--plot", "--json").json()
    assert [stage["stage"] for stage in looked["stages"]] == ["made.blend"]
    runs = cli("runs", "--json").json()["runs"]
    differs = cli("compare", runs[1]["run"], runs[0]["run"], "--json").json()
    assert differs["first"] == "made.blend"
    assert differs["stages"][0]["reason"] == "blend.weight changed 0.5 → 0.25"
    page = Path(cli("report", "latest", "--json").json()["report"]).read_text()
    assert all(text in page for text in ("weight of the text", "made.blend", "poem.txt", "data:audio"))
    graph = cli("show", "latest", "--graph").out
    assert "made_blend -->|waveform| sound_made" in graph
    document = json.loads(cli("show", "latest", "--prov").out)
    assert any(name.startswith("sound:") for name in document["entity"])
    assert Path(looked["pictures"]["made.wave"]).stat().st_size > 1000


def test_resume_after_a_failure(folder, cli, monkeypatch):
    def fails(**arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("listening_method.judge", fails)
        assert cli("run", *LISTENING).code == 130
    resumed = cli("resume", "--json").json()
    assert Counter(statuses(resumed).values()) == {"cached": 4, "computed": 1}
    assert Path(resumed["audio"]["made"]).is_file()


def test_batch_and_sweep(folder, cli):
    (folder / "many.csv").write_text(
        "name,sound,text,picture,blend.weight,out\n"
        "a,bell.wav,poem.txt,one.png,,a.wav\n"
        "b,bell.wav,poem.txt,one.png,0.3,b.wav\n"
    )
    result = cli("batch", "many.csv", "--method", "listening", "--json").json()
    assert result["counts"] == {"finished": 2}
    assert [row["level.made"] > 0 for row in result["pairs"]] == [True, True]
    assert (folder / "b.wav").is_file()
    assert cli("batch", "many.csv", "--method", "listening", "--json", "--workers", "2").json()["counts"] == {
        "finished": 2
    }
    swept = cli("sweep", *LISTENING, "--grid", "blend.weight=0.2..0.6:0.2", "--json").json()
    assert [row["blend.weight"] for row in swept["pairs"]] == [0.2, 0.4, 0.6]
    assert cli("resume").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bell.wav", "poem.txt"], "listening takes 3 files: expected SOUND TEXT PICTURE"),
        (["one.png", "poem.txt", "one.png"], "is not a readable audio file"),
        (["bell.wav", "poem.txt", "bell.wav"], "is not an image"),
        (["bell.wav", "one.png", "one.png"], "is not a text"),
        (["bell.wav", "none.txt", "one.png"], "file not found: none.txt. Check the path of the text"),
    ],
)
def test_an_invalid_file_is_a_one_line_error(folder, cli, arguments, message):
    result = cli("run", *arguments, "--method", "listening")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert not (folder / "store").exists()


def test_parameters_of_other_methods_are_refused(folder, cli):
    result = cli("run", *LISTENING, "--set", "svd.k=3")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "unknown parameter 'svd.k'" in result.err
    assert cli("run", *LISTENING, "--remove", "1,2").code == 2
    assert "unknown method: expected manipulate or" in cli("run", *FILES, "--method", "none").err


def test_in_a_notebook(folder):
    session = Session(folder / "store")
    request = session.request(METHOD, FILES, {"blend.weight": 0.3})
    trial = session.run(request, record=False)
    assert (trial.run.state, list(session.runs)) == ("finished", [])
    assert session.arrays(trial.run)["made.blend"]["waveform"].shape == (1, 4410)
    stopped = session.run(request, stopping=lambda: True)
    assert stopped.run.state == "interrupted"
    result = session.resume(stopped.run)
    assert {entry.status for entry in result.run.stages} == {"cached"}
    assert result.audio["made"].is_file()


def test_as_a_command_in_a_new_process(folder):
    ended = subprocess.run(
        [sys.executable, "-m", "svdaudio.cli", "plan", *LISTENING, "--json"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert [stage["stage"] for stage in json.loads(ended.stdout)["stages"]] == NODES


@pytest.mark.filterwarnings("default")  # Prefect and its dependencies emit warnings
def test_through_prefect_and_on_a_schedule(folder, cli, prefect_api, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    result = cli("run", *LISTENING, "--prefect", "--json")
    assert result.code == 0, result.err
    assert set(statuses(result.json()).values()) == {"computed"}
    assert "made.blend" in result.err
    shown = cli("show", "latest", "--json").json()
    assert (shown["runner"], shown["kind"]) == ("prefect", "listening")
    here = cli("run", *LISTENING, "--runner", "in-process", "--json").json()
    assert set(statuses(here).values()) == {"cached"}
    added = cli(
        "schedule", "add", "bells", "--cron", "0 3 * * *", "run", *LISTENING, "--set", "blend.weight=0.3", "--json"
    )
    assert added.code == 0, added.err
    parameters = added.json()["parameters"]
    assert parameters["method"] == "listening"
    assert parameters["files"]["text"] == str(folder / "poem.txt")
    assert cli("schedule", "remove", "bells").code == 0
