"""A result as HTML for notebooks: content, escaping, and self-containment."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from PIL import Image

from svdaudio.pages.notebook import PICTURE_WIDTH, result_html
from svdaudio.store import FileUse, RunRecord, StageEntry
from svdaudio.views.report import Report, wav_bytes

HOSTILE = '<script>alert("1")</script>&amp;'
RUN = RunRecord(
    id="20260728-101500-ab12", kind="manipulate", created_at="2026-07-28T10:15:00Z", bundle="mini", config={},
    files={"original": FileUse(path="/pictures/one.png", digest="0" * 64)}, state="finished", seconds=1.25,
    stages=(StageEntry(node="mix", stage="mix", status="computed", reason="never computed", notes=("faint",)),),
    remarks=("svd.k = 20 is outside the recommended 1 to 15",),
)  # fmt: skip
VERDICT = (
    {"object": "duck", "class_name": "duck", "ok": True, "text": "duck heard (0.00 → 1.00)"},
    {"object": "cat", "class_name": "cat", "ok": False, "text": "cat still heard (0.99 → 0.90)"},
    {"object": "pig", "class_name": None, "ok": None, "text": "pig: the tagger has no class for it"},
)


@pytest.fixture
def report(tmp_path):
    """Two sounds with spectrograms, a mask, and pictures that the HTML shows in another form."""
    wave = np.sin(np.arange(2205) / 10) / 2
    for name in ("original", "made"):
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(wave))
    for name in ("original.spectrogram", "made.spectrogram", "removed.mask", "scores", "overview"):
        Image.new("RGB", (1000, 500), "red").save(tmp_path / f"{name}.png")
    return Report(
        folder=tmp_path,
        audio={name: tmp_path / f"{name}.wav" for name in ("original", "made")},
        pictures={path.stem: path for path in sorted(tmp_path.glob("*.png"))},
        scores={
            "original": {"cat": 0.99, "duck": 0.0, "cow": 0.01, "owl": 0.2},
            "made": {"cat": 0.9, "duck": 1.0, "cow": 0.02, "owl": 0.2},
        },
        verdict=VERDICT,
        result="made",
        notes=("a picture unlike the farm",),
    )


class Elements(HTMLParser):
    """The elements of a piece of HTML, with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.text = ""
        self.open = []
        self.feed(html)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for one, attributes in self.found if one == tag]


def data_of(uri, kind):
    head, _, text = uri.partition(",")
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(text))


def test_sounds_are_players_with_every_sample(report):
    first, second = Elements(result_html(RUN, report)).all("audio")
    assert "controls" in first
    assert second["aria-label"] == "made"
    samples, rate_hz = soundfile.read(data_of(first["src"], "audio/flac"), dtype="int16")
    kept, kept_hz = soundfile.read(report.audio["original"], dtype="int16")
    assert rate_hz == kept_hz
    np.testing.assert_array_equal(samples, kept)


def test_stems_of_floats_beyond_full_scale_are_clipped_to_sixteen_bits(report):
    report.audio["made"].write_bytes(wav_bytes(np.full(100, 1.5), as_float=True))
    samples, _ = soundfile.read(data_of(Elements(result_html(RUN, report)).all("audio")[1]["src"], "audio/flac"))
    np.testing.assert_allclose(samples, 1, atol=1e-4)


def test_pictures_are_small_and_those_drawn_as_html_are_omitted(report):
    pictures = Elements(result_html(RUN, report)).all("img")
    assert [one["alt"] for one in pictures] == ["spectrogram of original", "spectrogram of made", "removed.mask"]
    for one in pictures:
        assert Image.open(data_of(one["src"], "image/jpeg")).size == (PICTURE_WIDTH, PICTURE_WIDTH // 2)


def test_a_verdict_has_marks_with_their_meaning(report):
    found = Elements(result_html(RUN, report))
    assert [one["aria-label"] for one in found.all("span")] == ["as intended", "not as intended", "unknown"]
    for mark, finding in zip("✓!·", VERDICT, strict=True):
        assert f"{mark}{finding['text']}" in found.text


def test_audible_and_requested_classes_have_scores_and_others_are_counted(report):
    html = result_html(RUN, report)
    rows = [re.findall(r">([^<>]+)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    assert rows[:4] == [
        ["class", "original", "made", "change"],
        ["duck", "0.00", "1.00", "+1.00"],
        ["cat", "0.99", "0.90", "-0.09"],
        ["owl", "0.20", "0.20", "+0.00"],
    ]
    assert "1 more class below 0.05 in every sound" in html


def test_notes_stages_and_state_are_shown(report):
    text = Elements(result_html(RUN, report)).text
    for words in ("a picture unlike the farm", "outside the recommended", "never computed; faint", "1 computed; 1.2 s"):
        assert words in text


def test_everything_from_users_is_escaped(report):
    hostile = replace(
        RUN, files={"original": FileUse(path=f"/pictures/{HOSTILE}\x1b[31m", digest="")}, remarks=(HOSTILE,),
        error=HOSTILE, bundle=HOSTILE, stages=(StageEntry(node=HOSTILE, stage="mask", reason=HOSTILE),),
    )  # fmt: skip
    report = replace(
        report,
        audio={HOSTILE: report.audio["made"]},
        pictures={HOSTILE: report.pictures["removed.mask"]},
        scores={HOSTILE: {HOSTILE: 1.0}},
        verdict=({**VERDICT[0], "text": HOSTILE},),
        notes=(HOSTILE,),
    )
    html = result_html(hostile, report)
    found = Elements(html)
    assert found.all("script") == []
    assert found.text.count(HOSTILE.removeprefix("<script>").partition("</")[0]) >= 9
    assert "\x1b" not in html
    assert found.all("audio")[0]["aria-label"] == HOSTILE


def test_the_html_is_self_contained_and_sets_no_colours(report):
    html = result_html(RUN, report)
    links = [
        value for _, attributes in Elements(html).found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert links
    assert all(link.startswith("data:") for link in links)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert not re.search(r"color|background|url|@import", style)
    selectors = [one.strip() for line in style.strip().splitlines() for one in line.partition("{")[0].split(",")]
    assert all(one.startswith(".svdaudio-result ") for one in selectors), "the rest of the notebook is not styled"


def test_missing_files_are_reported(report):
    for path in [*report.audio.values(), *report.pictures.values()]:
        path.unlink()
    found = Elements(result_html(RUN, report))
    assert (found.all("audio"), found.all("img")) == ([], [])
    assert found.text.count("file not found") == 2


def test_an_unfinished_run_has_its_state_and_error(tmp_path):
    run = replace(RUN, state="failed", error="the mask covers no patch", seconds=0.0)
    text = Elements(result_html(run, Report(folder=tmp_path))).text
    assert "failed" in text
    assert "the mask covers no patch" in text
