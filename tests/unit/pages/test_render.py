"""Pages: every value is escaped, and the policy allows only their own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from svdaudio.figures import Figure
from svdaudio.pages import study
from svdaudio.pages.study import Bars, Curve, Curves, HeatMap, StudyPage, Table, cell_text, study_html

HOSTILE = "</script><script>alert('&')</script>"


@pytest.fixture(scope="module")
def html():
    page = StudyPage(
        title=HOSTILE,
        lead=HOSTILE,
        command=HOSTILE,
        bundle=HOSTILE,
        facts={HOSTILE: HOSTILE},
        sections=[
            Table(title=HOSTILE, columns=[HOSTILE], rows=[[HOSTILE], [Figure(name="", value=0.5, n=3)], [None]]),
            Curves(title=HOSTILE, x_label=HOSTILE, y_label="", curves=[Curve(name=HOSTILE, x=[1], y=[float("nan")])]),
            HeatMap(title=HOSTILE, x_label="", y_label="", x=[HOSTILE], y=[HOSTILE], values=[[float("inf")]]),
            Bars(title=HOSTILE, label=HOSTILE, bars={HOSTILE: 1.0}),
        ],
    )
    return study_html(page)


def test_texts_are_never_interpreted_as_html(html):
    assert "alert('&')" not in html
    assert html.count("<script>") == 2, "uPlot and that of the page"


def test_chart_data_round_trip(html):
    [data] = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', html)
    [chart] = json.loads(data).values()
    assert chart["curves"][0]["name"] == HOSTILE
    assert chart["curves"][0]["y"] == [None]


def test_the_policy_names_every_script_and_nothing_from_elsewhere(html):
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)"', html)
    allowed = set(re.findall(r"&#39;sha256-(.*?)&#39;", policy))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert allowed == {base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts}
    assert "default-src &#39;none&#39;" in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (-0.12345, "−0.1235"),
        (1500.0, "1500"),
        (7, "7"),
        ("fade", "fade"),
        (Figure(name="", value=0.5, low=0.25, high=0.75, n=9), "0.500 [0.250, 0.750]"),
    ],
)
def test_cells_are_formatted_like_numbers_of_a_paper(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize(("best", "value"), [("highest", 3.0), ("lowest", 1.0), ("none", None)])
def test_the_best_cell_of_a_heat_map(best, value):
    chart = HeatMap(
        title="", x_label="", y_label="", x=["a"], y=["b", "c"], values=[[1.0, None], [3.0, 2.0]], best=best
    )
    assert study._best(chart) == value
    assert study._shares(chart) == [[0.0, None], [1.0, 0.5]]


def test_bars_start_at_zero():
    rows = study._bounds(Bars(title="", label="", bars={"up": 3.0, "down": -1.0}))
    assert [(row["left"], row["width"]) for row in rows] == [(25.0, 75.0), (0.0, 25.0)]
