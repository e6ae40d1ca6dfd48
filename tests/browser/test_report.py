"""The report of a run in a real browser, offline: it displays, plays and compares, and escapes names."""

from __future__ import annotations

import io

import numpy as np
import pytest
import toy_method
from browser_checks import accessibility_violations
from PIL import Image

from svdaudio.cli.app import invoke

HOSTILE = "a\"><img src=x onerror=alert(1)>'&amp;{{7*7}}"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a toy run whose pictures have names that contain HTML."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        toy_method.install(patch, folder)
        one, two = f"{HOSTILE}.png", "</script><script>alert(2)<script>.png".replace("/", "\u2215")
        (folder / "one.png").rename(folder / one)
        (folder / "two.png").rename(folder / two)
        assert invoke(["run", one, two, "--remove", "20,20", "--add", "40,30"]) == 0
        assert invoke(["run", one, two, "--remove", "20,20", "--add", "40,30", "--set", "seed=7"]) == 0
        assert invoke(["report", "latest", "-o", "report.html"]) == 0
        runs = sorted(path.stem for path in (folder / "store" / "runs").glob("*.json"))
        assert invoke(["report", *runs, "-o", "both.html"]) == 0
    return folder / "report.html"


def is_blank(page, selector=None):
    data = page.locator(selector).first.screenshot() if selector else page.screenshot(full_page=True)
    return np.asarray(Image.open(io.BytesIO(data)).convert("L")).std() < 2


def chosen(page):
    return page.locator('.lane .name[aria-pressed="true"]').inner_text().split("\n")[0]


def seconds(page):
    minutes, rest = page.locator("#time").inner_text().split(" / ")[0].split(":")
    return 60 * int(minutes) + float(rest)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_opens_offline_without_errors_and_is_accessible(open_page, report, width, scheme):
    opened = open_page(report, width=width, scheme=scheme)
    assert opened.faults == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in opened.requests)
    assert not is_blank(opened.page)
    for selector in (".stage", ".view img.of-mel", ".view svg", ".flow", ".scores"):
        assert not is_blank(opened.page, selector), selector
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal overflow"
    assert accessibility_violations(opened.page) == {}


def test_markup_in_names_is_escaped(open_page, report):
    opened = open_page(report)
    assert HOSTILE in opened.page.locator("h1").inner_text()
    assert opened.page.locator("img[src='x']").count() == 0
    assert "49" not in opened.page.title()
    assert opened.faults == []


def test_sounds_have_their_duration_play_and_switch_at_the_same_position(open_page, report):
    page = open_page(report).page
    duration = page.evaluate(
        """() => new Promise((done) => {
          const audio = document.querySelector("audio");
          audio.onloadedmetadata = () => done(audio.duration);
          audio.load();
        })"""
    )
    assert duration == pytest.approx(10.0, abs=0.01)
    assert chosen(page) == "manipulated"
    page.keyboard.press("Space")
    while seconds(page) < 0.4:  # the test's timeout bounds it
        page.wait_for_timeout(50)
    assert page.locator("#play").get_attribute("aria-pressed") == "true"
    before = seconds(page)
    page.keyboard.press("1")
    assert chosen(page) == "original"
    assert before <= seconds(page) < before + 3, "another lane continues at the same position"
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    held = seconds(page)
    page.keyboard.press("ArrowRight")
    assert seconds(page) == pytest.approx(held + 1, abs=0.11)


def test_a_click_into_a_spectrogram_seeks_and_chooses(open_page, report):
    page = open_page(report).page
    view = page.locator(".lane", has_text="edited").first.locator("[data-view]")
    area = view.bounding_box()
    view.click(position={"x": area["width"] / 2, "y": 60})
    assert chosen(page) == "edited"
    assert seconds(page) == pytest.approx(5.0, abs=0.1)


def test_a_download_is_the_sound_itself(open_page, report, tmp_path):
    import soundfile

    page = open_page(report).page
    with page.expect_download() as waiting:
        page.locator(".lane .download").first.click()
    waiting.value.save_as(tmp_path / "sound.flac")
    samples, rate_hz = soundfile.read(tmp_path / "sound.flac", dtype="int16")
    files = [soundfile.read(path, dtype="int16")[0] for path in (report.parent / "store").glob("out/*/original.wav")]
    assert rate_hz == 22_050
    assert any(np.array_equal(samples, one) for one in files)


def test_the_divider_and_the_layers_change_the_picture(open_page, report):
    page = open_page(report).page

    def shown():
        return page.locator(".stage").screenshot()

    before = shown()
    slider = page.locator(".stage input")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    moved = shown()
    assert moved != before
    page.get_by_label("regions", exact=True).uncheck()
    assert shown() != moved


def test_a_stage_shows_its_outputs(open_page, report):
    page = open_page(report).page
    page.locator(".cell", has_text="tokens").first.click()
    facts = page.locator(".node-facts:not(.hidden)")
    assert "257 × 768" in facts.inner_text()
    assert "original.tokens" in facts.inner_text()


def test_two_runs_share_a_page_with_the_differences_first(open_page, report):
    opened = open_page(report.parent / "both.html")
    table = opened.page.get_by_label("Differences between runs").inner_text()
    assert "seed" in table
    assert "svd.alpha" not in table
    assert opened.faults == []
    assert accessibility_violations(opened.page) == {}


def test_without_scripts_everything_can_be_read_and_played(chromium, report):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("audio").first.is_visible()
    assert not page.locator("#play").is_visible()
    context.close()
