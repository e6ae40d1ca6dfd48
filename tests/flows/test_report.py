"""`svdaudio report` on the command line: the contents of its page, with toy models."""

from __future__ import annotations

import itertools
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy_method
from toy_method import PAIR

from svdaudio.methods.stages import STAGES
from svdaudio.pages.workflow import CELL_HEIGHT, CELL_WIDTH, workflow_picture


@pytest.fixture
def done(monkeypatch, tmp_path, cli):
    toy_method.install(monkeypatch, tmp_path)
    return cli("run", *PAIR, "--json").json()


def lanes_of(text):
    return re.findall(r'data-lane="(.*?)"', text)


def test_the_page_is_next_to_the_sounds_and_the_same_each_time(done, cli):
    result = cli("report", "latest", "--json")
    assert result.code == 0, result.err
    page = Path(result.json()["report"])
    assert page == Path(done["audio"]["original"]).parent / "report.html"
    before = page.read_bytes()
    assert cli("report", "latest").code == 0
    assert page.read_bytes() == before
    sounds = ["run0-original", "run0-edited", "run0-manipulated"]
    others = [f"{sound}-{n}" for sound in sounds for n in (2, 3)]
    assert sorted(lanes_of(before.decode())) == sorted(sounds + others), "the chosen candidate is the sound of the run"


def test_the_command_on_the_page_repeats_the_run(done, cli):
    text = Path(cli("report", "latest", "--json").json()["report"]).read_text()
    assert "svdaudio run one.png two.png --method manipulate --set" in text
    assert text.count(done["stages"][0]["key"]) == 1
    for key in (stage["key"] for stage in done["stages"]):
        assert key in text


def test_another_run_adds_only_the_sounds_that_differ(done, cli, tmp_path):
    again = cli("run", *PAIR, "--set", "mix.alpha=0.3", "--json").json()
    out = tmp_path / "both.html"
    assert cli("report", done["run"], again["run"], "-o", out).code == 0
    text = out.read_text()
    assert [one for one in lanes_of(text) if one.startswith("run1")] == [
        "run1-manipulated",
        "run1-manipulated-2",
        "run1-manipulated-3",
    ]
    assert "Bit-identical to an earlier run above: original, edited." in text
    differing = re.findall(r'<tr class="differs"><th scope="row">(.*?)</th>', text)
    assert differing == ["mix.alpha"]


def test_invalid_arguments_are_a_one_line_error(done, cli, tmp_path):
    refused = cli("report", "latest", "-o", tmp_path / "report.pdf")
    assert refused.code == 2
    assert "expected a name that ends in .html" in refused.err
    assert cli("report", "nothing").code == 2
    assert "run 'nothing' does not exist" in cli("report", "nothing").err
    (tmp_path / "pairs.csv").write_text('original,edited,remove,add\none.png,two.png,"20,20","40,30"\n')
    assert cli("batch", "pairs.csv").code == 0
    of_batch = cli("report", "latest")
    assert of_batch.code != 0
    assert "is a batch, but a report shows single runs. Name some of its runs" in of_batch.err


def test_workflow_cells_do_not_overlap_and_every_arrow_points_right(done):
    from svdaudio.cli.sessions import open_session

    session = open_session(os.environ["SVDAUDIO_STORE"])
    picture = workflow_picture(session.arrays(session.load("latest")), session.store)
    assert {cell.node for cell in picture.cells} == {stage["stage"] for stage in done["stages"]}
    for one, other in itertools.combinations(picture.cells, 2):
        assert abs(one.x - other.x) >= CELL_WIDTH or abs(one.y - other.y) >= CELL_HEIGHT
    for edge in picture.edges:
        xs = [float(point.split(",")[0]) for point in re.findall(r"[\d.]+,[\d.]+", edge)]
        assert xs[0] < xs[-1]


def test_a_run_that_failed_half_way_is_reported_as_far_as_it_got(done, cli, monkeypatch, tmp_path):
    def broken(**given):
        raise RuntimeError("the vocoder broke")

    monkeypatch.setitem(sys.modules, STAGES["vocode"].body.partition(":")[0], SimpleNamespace(run=broken))
    assert cli("run", *PAIR, "--set", "seed=9").code != 0
    result = cli("report", "latest", "-o", tmp_path / "half.html")
    assert result.code == 0, result.err
    text = (tmp_path / "half.html").read_text()
    assert lanes_of(text) == []
    assert "the vocoder broke" in text
