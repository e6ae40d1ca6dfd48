"""The page of a study in a real browser: charts are drawn, tables sort and filter, texts are escaped."""

from __future__ import annotations

import pytest
from browser_checks import accessibility_violations

from svdaudio.figures import Figure
from svdaudio.pages.study import Bars, Curve, Curves, HeatMap, StudyPage, Table, write_study_page

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    rows = [
        [f"setting {n}", n, Figure(name="", value=1 / n, low=0.5 / n, high=2 / n, n=72), None] for n in range(1, 13)
    ]
    page = StudyPage(
        title=f"A study {HOSTILE}",
        lead="An answer.",
        command="svdaudio study spec.toml",
        bundle="mini",
        sections=[
            Curves(
                title="Response", x_label="svd.k", y_label="degrees",
                curves=[
                    Curve(name=HOSTILE, x=[1, 2, 3], y=[3.0, 2.0, 1.0], low=[2.0, 1.0, 0.5], high=[4.0, 3.0, 2.0]),
                    Curve(name="other", x=[1, 3], y=[0.5, 0.4]),
                ],
            ),
            HeatMap(title="Two", x_label="a", y_label="b", x=["1", "2"], y=["3"], values=[[0.25, None]]),
            Bars(title="Importance", label="share", bars={"svd.k": 0.75, "seed": -0.1}),
            Table(title="Settings", columns=["setting", "k", "rise", "none"], rows=rows),
        ],
    )  # fmt: skip
    return write_study_page(tmp_path_factory.mktemp("study") / "study.html", page)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_opens_offline_without_errors_and_is_accessible(open_page, page_file, width, scheme):
    opened = open_page(page_file, width=width, scheme=scheme)
    assert opened.faults == []
    assert opened.page.locator(".chart canvas").count() == 1
    assert HOSTILE in opened.page.locator("h1").inner_text()
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert accessibility_violations(opened.page) == {}


def test_tables_sort_by_value_and_filter(open_page, page_file):
    page = open_page(page_file).page
    section = page.get_by_label("Settings", exact=True).first
    first = section.locator("tbody tr td:first-child")
    section.get_by_role("button", name="rise").click()
    assert first.first.inner_text() == "setting 12"
    section.get_by_role("button", name="rise").click()
    assert first.first.inner_text() == "setting 1"
    section.get_by_placeholder("Filter rows").fill("setting 11")
    assert section.locator("tbody tr:visible").count() == 1
