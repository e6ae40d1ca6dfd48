"""The studio in a real browser, with toy models: clicks, sliders, faders, keys, reloads; no other host is contacted."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
import screenshots
import toy_method
from browser_checks import accessibility_violations, wait_for_studio
from PIL import Image
from studio_server import serving_studio

from svdaudio.cli import sessions
from svdaudio.methods.stages import STAGES
from svdaudio.studies.scenes import Scene
from svdaudio.studio.access import access_for
from svdaudio.studio.app import Studio

DOCUMENTS = Path(__file__).parents[2]


class Gate:
    """Blocks the diffusion of the toy models while closed."""

    def __init__(self):
        self._open = threading.Event()
        self._open.set()
        self.n_passed = 0

    def close(self):
        self._open.clear()

    def open(self):
        self._open.set()

    def diffuse(self, **given):
        assert self._open.wait(60), "the test has not opened the gate"
        self.n_passed += 1
        return toy_method.diffuse(**given)


def embed(*, pixels, image_encoder):
    return {"embedding": toy_method.tokens(pixels=pixels, geometry="squash", image_encoder=None)["embedding"]}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A studio served in a thread: its address, and the gate of its diffusion."""
    folder, gate = tmp_path_factory.mktemp("studio"), Gate()
    with pytest.MonkeyPatch.context() as patch:
        toy_method.install(patch, folder)
        patch.setattr(toy_method.ToyBundle, "settings", {"generate.candidates": 1})
        for stage, body in {"diffuse": gate.diffuse, "diffuse_each": gate.diffuse, "embed": embed}.items():
            patch.setitem(sys.modules, STAGES[stage].body.partition(":")[0], SimpleNamespace(run=body))
        scene = Scene(
            original=folder / "one.png", edited=folder / "two.png", remove=((20, 20),), add=((40, 30),),
            removed=("cat",), added=("duck",),
        )  # fmt: skip
        studio = Studio(sessions.open_session(str(folder / "store")), {"toy": scene}, access_for("127.0.0.1", None))
        with serving_studio(studio) as url:
            yield SimpleNamespace(url=url, gate=gate)
            gate.open()


def is_fault(message):
    """Whether a console message reports a fault, other than the browser's message for a refused request."""
    return message.type in ("error", "warning") and "the server responded with a status of 400" not in message.text


@pytest.fixture
def open_studio(chromium, served):
    """Open the studio as a new user. An error on the page or a request to another host fails the test."""
    contexts, faults, hosts = [], [], set()

    def open_page(*, width=1280, scheme="light", browser=chromium):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: faults.append(message.text) if is_fault(message) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(served.url)
        wait_for_studio(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert hosts <= {urlsplit(served.url).netloc, ""}, "data: and blob: have no host"


@pytest.fixture
def mask_file(tmp_path):
    """Write a mask for the toy's pictures, of 64 x 48 px: white in the left half."""

    def write(name="half.png", size=(64, 48)):
        inside = np.zeros(size[::-1], np.uint8)
        inside[:, : size[0] // 2] = 255
        Image.fromarray(inside).save(tmp_path / name)
        return tmp_path / name

    return write


def masks(page, picture="original"):
    """The masks drawn over a picture."""
    paths = page.locator(f"#shots [data-picture={picture}] .layer-mask:not(.stale) path")
    return [paths.nth(place).get_attribute("d") for place in range(paths.count())]


def click(page, x, y, *, picture="original", **options):
    """Click at a fraction of the width and height of a picture."""
    stage = page.locator(f"[data-picture={picture}]")
    area = stage.bounding_box()
    stage.click(position={"x": x * area["width"], "y": y * area["height"]}, **options)


@contextmanager
def sound(page):
    """Wait for the sound of an action in the context: until its lanes are shown and nothing is left to run."""
    with page.expect_event("response", lambda answer: is_run(answer.url) and answer.ok) as response:
        yield
    run = response.value.url.rpartition("/")[2]
    page.locator(f"#result:not([aria-busy]) [data-run='{run}']").wait_for()
    page.locator("#plan", has_text="in the store").wait_for()


def is_run(url):
    return url.rpartition("/")[0].endswith("/api/runs")


def make_sound(page):
    with sound(page):
        page.locator("#make-sound").click()


def tab_to(page, selector):
    """Press Tab until an element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no Tab leads to {selector}")


def set_value(page, parameter, value):
    typed = page.locator(f"input.typed[data-parameter='{parameter}']")
    typed.fill(str(value))
    typed.press("Tab")


def computed(page):
    """The nodes that the last job computed."""
    return set(
        page.evaluate("[...document.querySelectorAll('#strip [data-state=computed]')].map((cell) => cell.dataset.node)")
    )


def test_the_example_is_shown_and_a_click_makes_a_mask(open_studio):
    page = open_studio()
    page.locator("#shots .layer-mask:not(.stale) path").nth(1).wait_for()
    before = masks(page)
    page.get_by_role("button", name="Clear remove").click()
    assert masks(page) == []
    click(page, 0.75, 0.6)
    page.locator("#objects .mask-line", has_text="score 0.90").first.wait_for()
    assert masks(page) != before
    click(page, 0.2, 0.2, modifiers=["Shift"])
    click(page, 0.3, 0.2, button="right")
    assert page.locator("[data-picture=original] circle.out").count() == 2
    page.keyboard.press("z")
    page.keyboard.press("z")
    assert page.locator("[data-picture=original] .layer-mask circle").count() == 1
    stage = page.locator("[data-picture=original]").bounding_box()
    page.mouse.move(stage["x"] + 20, stage["y"] + 20)
    page.mouse.down()
    page.mouse.move(stage["x"] + 120, stage["y"] + 100, steps=3)
    page.mouse.up()
    page.locator("[data-picture=original] .layer-mask:not(.stale) rect").wait_for()


def test_a_change_lists_what_it_runs_and_runs_only_that(open_studio):
    page = open_studio()
    make_sound(page)
    assert page.locator(".lane.original, .lane.edited, .lane.result").count() == 3
    assert page.locator(".verdict li").count() > 0
    alpha = page.locator("input.typed[data-parameter='svd.alpha']")
    alpha.fill("0.2")
    alpha.press("Tab")
    page.locator("#plan", has_text="will run: reach → mix → remix → diffuse").wait_for()
    hint = page.locator("[data-row='svd.alpha'].changed .hint")
    assert "default 0.3, recommended 0.1 to 0.5" in hint.inner_text()
    make_sound(page)
    below = {f"manipulated.{stage}" for stage in ("diffuse", "decode", "vocode", "choose", "finish", "scores")}
    assert below <= computed(page) <= below | {"removed.reach", "mix", "manipulated.remix"}
    page.locator("input[data-slider='svd.alpha']").dblclick()
    page.locator("#plan", has_text="in the store").wait_for()
    assert page.locator("[data-row='svd.alpha'].changed").count() == 0
    page.get_by_role("button", name="▶ Play").click()
    page.locator("#play[aria-pressed=true]").wait_for()
    page.keyboard.press("1")
    assert page.locator(".lane .name[aria-pressed=true]").inner_text().startswith("original")


def test_an_error_is_shown_next_to_its_field(open_studio, tmp_path, mask_file):
    page = open_studio()
    alpha = page.locator("input.typed[data-parameter='svd.beta']")
    alpha.fill("much")
    alpha.press("Tab")
    page.locator("[data-row='svd.beta'] .field-error", has_text="expected a number").wait_for()
    (tmp_path / "no.png").write_bytes(b"not a picture")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "no.png")
    page.locator("#shots .field-error", has_text="no.png").wait_for()
    assert page.locator("#shots .stage").count() == 2, "the previous picture is kept"
    with page.expect_response(lambda answer: answer.url.endswith("/api/plan") and answer.ok):
        page.locator("input[type=file]").first.set_input_files([mask_file("good.png"), tmp_path / "no.png"])
    page.locator("#plan", has_text="will run").wait_for()
    page.locator("#shots [data-error=edited]", has_text="no.png").wait_for()
    page.locator("#shots", has_text="good.png").wait_for()


def test_a_mask_file_replaces_clicks(open_studio, mask_file):
    page = open_studio()
    row = page.locator("#objects .object").first
    row.locator(".mask-line", has_text="score 0.90").wait_for()
    of_clicks = masks(page)
    page.get_by_label("Mask file of remove", exact=True).set_input_files(mask_file())
    row.locator(".mask-line", has_text="half.png: 50.0 % of the picture").wait_for()
    assert masks(page) != of_clicks
    assert page.locator("[data-picture=original] .layer-mask circle").count() == 0
    page.keyboard.press("z")
    row.locator(".mask-line", has_text="score 0.90").wait_for()
    assert masks(page) == of_clicks
    page.get_by_label("Mask file of remove", exact=True).set_input_files(mask_file())
    make_sound(page)
    assert "removed.mask" not in computed(page), "the outline has already computed it"
    page.get_by_role("button", name="Command").click()
    assert 'remove.remove.mask="half.png"' in page.locator("#command-text").inner_text()
    page.get_by_role("button", name="Close command").click()
    page.reload()
    row.locator(".mask-line", has_text="half.png: 50.0 %").wait_for()
    click(page, 0.75, 0.6)
    row.locator(".mask-line", has_text="score 0.90").wait_for()
    assert page.locator("[data-picture=original] .layer-mask circle").count() == 1, "a click replaces the file"
    page.get_by_label("Mask file of remove", exact=True).set_input_files(mask_file())
    row.locator(".mask-line", has_text="half.png").wait_for()
    page.get_by_role("button", name="Clear remove").click()
    row.locator(".mask-line", has_text="click it in").wait_for()
    assert masks(page) == []


def test_a_mask_file_is_dropped_onto_an_object_of_the_mixer(open_studio, mask_file):
    page = open_studio()
    page.get_by_role("tab", name="Mixer").click()
    page.get_by_role("button", name="Add an object: objects").click()
    row = page.locator("#objects .object").nth(1)
    files = page.evaluate_handle(
        """(bytes) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "half.png", { type: "image/png" }));
            return files;
        }""",
        list(mask_file().read_bytes()),
    )
    row.dispatch_event("drop", {"dataTransfer": files})
    row.locator(".mask-line", has_text="half.png: 50.0 % of the picture").wait_for()
    page.locator("#shots .layer-mask:not(.stale) path").nth(1).wait_for()
    row.get_by_role("button", name="Mute").click()
    make_sound(page)
    row.get_by_role("button", name="Remove").click()
    assert page.locator("#shots .layer-mask path").count() == 1


def test_a_mask_file_is_chosen_by_keyboard_and_an_invalid_one_is_refused(open_studio, mask_file, tmp_path):
    page = open_studio()
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # noqa: PLW0108 - no attribute can be set of append
    row = page.locator("#objects .object").first
    (tmp_path / "no.png").write_bytes(b"not a picture")
    (tmp_path / "large.png").write_bytes(bytes(41 * 2**20))
    wrong = {
        mask_file(
            "turned.png", (48, 64)
        ): "the mask turned.png has a different size than one.png: expected 64 x 48, got",
        tmp_path / "no.png": "no.png is not an image",
        tmp_path / "large.png": "large.png is too large: expected at most 40 MB, got 41 MB",
    }
    for path, words in wrong.items():
        page.get_by_label("Mask file of remove", exact=True).set_input_files(path)
        row.locator(".field-error", has_text=words).wait_for()
        assert page.locator("#alert").is_hidden(), "the error is shown only next to its object"
        assert "score 0.90" in row.locator(".mask-line").inner_text(), "the previous clicks are kept"
    for _ in range(5):  # on a busy machine Chromium sometimes does not report a chooser
        tab_to(page, "[aria-label='Mask file of remove…']")
        page.keyboard.press("Enter")
        page.wait_for_timeout(2000)
        if choosers:
            break
    choosers[-1].set_files(mask_file())
    row.locator(".mask-line", has_text="half.png: 50.0 % of the picture").wait_for()
    row.locator(".field-error:not([hidden])").first.wait_for(state="detached")
    tab_to(page, "#make-sound")
    with sound(page):
        page.keyboard.press("Enter")


def test_a_duration_may_be_as_long_as_the_engine_allows(open_studio):
    page = open_studio()
    duration = page.locator("input.typed[data-parameter='generate.duration_s']")
    slider = page.locator("input[data-slider='generate.duration_s']")
    assert duration.input_value() == "10"
    for key, value in (("End", "600"), ("Home", "2.5")):
        slider.press(key)
        assert duration.input_value() == value
    page.locator("#plan", has_text="will run").wait_for()
    set_value(page, "generate.duration_s", 20)
    page.locator("#plan .remark", has_text="generate.duration_s").wait_for()
    set_value(page, "generate.duration_s", 601)
    page.locator("#common .field-error", has_text="invalid value 601: expected a number from 0.5 to 600").wait_for()
    page.locator("#plan", has_text="will run").wait_for()
    slider.dblclick()
    assert duration.input_value() == "10"


def test_two_browsers_work_at_once(open_studio, another_chromium, served):
    one, other = open_studio(), open_studio(browser=another_chromium)
    changes = {one: ("svd.alpha", 0.15), other: ("svd.beta", 2.5)}
    for page, (parameter, value) in changes.items():
        set_value(page, parameter, value)
        page.locator("#plan", has_text="will run").wait_for()
    served.gate.close()
    one.locator("#make-sound").click()
    one.locator("#strip [data-state=running]").first.wait_for(state="attached")
    other.locator("#make-sound").click()
    other.locator("#status-text", has_text="waiting, 1 ahead of you").wait_for()
    other.locator("#progress-text", has_text="Waiting: 1 ahead of you").wait_for()
    assert one.locator("#status-text").inner_text() == "generating"
    for page, (parameter, value) in changes.items():
        jobs = page.evaluate("fetch('/api/start').then((answer) => answer.json()).then((start) => start.jobs)")
        assert [job["ask"]["settings"].get(parameter) for job in jobs] == [value], "each sees only its own job"
    with sound(one), sound(other):
        served.gate.open()
    made = {page.locator("#result [data-run]").get_attribute("data-run") for page in changes}
    assert len(made) == 2
    for page, (parameter, value) in changes.items():
        assert page.locator(".lane.original, .lane.edited, .lane.result").count() == 3
        page.get_by_role("button", name="Command").click()
        assert re.findall(r"svd\.\w+=[\d.]+", page.locator("#command-text").inner_text()) == [f"{parameter}={value}"]


def test_screenshots_of_both_tabs_are_taken(chromium, served, tmp_path):
    screenshots.take_studio(chromium, served.url, tmp_path)
    for tab in screenshots.STUDIO:
        name = f"studio-{tab}.webp"
        with Image.open(tmp_path / name) as taken, Image.open(DOCUMENTS / "docs/images" / name) as kept:
            assert taken.size == kept.size == screenshots.STUDIO_SIZE
            for image in (taken, kept):
                assert len(image.convert("RGB").quantize(64).getcolors()) == 64, "it shows more than a blank page"
                rows = np.asarray(image.convert("L"), float).std(axis=1)
                assert np.mean(rows > 1) > 0.5, "most of its height shows something"
        assert f"images/{name}" in (DOCUMENTS / "docs/studio.md").read_text()
    first_screen = (DOCUMENTS / "README.md").read_text().splitlines()[:20]
    assert any("docs/images/studio-edit.webp" in line for line in first_screen)


def test_an_object_is_muted_in_the_mixer(open_studio):
    page = open_studio()
    page.get_by_role("tab", name="Mixer").click()
    page.locator("#objects .mask-line", has_text="score 0.90").wait_for()
    page.get_by_label("Fader of cat").focus()
    page.keyboard.press("m")
    assert page.get_by_role("button", name="Mute cat").get_attribute("aria-pressed") == "true"
    make_sound(page)
    page.get_by_role("button", name="Command").click()
    assert 'gains.cat="-inf"' in page.locator("#command-text").inner_text()


def test_a_reload_during_a_run_finds_it_again(open_studio, served):
    page = open_studio()
    seed = page.locator("input.typed[data-parameter=seed]")
    seed.fill("7")
    seed.press("Tab")
    served.gate.close()
    page.locator("#plan", has_text="will run").wait_for()
    page.locator("#make-sound").click()
    page.locator("#strip [data-state=running]").first.wait_for(state="attached")
    page.reload()
    page.locator("#stop").wait_for()
    assert seed.input_value() == "7", "settings are kept"
    with sound(page):
        served.gate.open()


def test_a_change_during_a_run_replaces_it(open_studio, served):
    page = open_studio()
    page.get_by_label("on every change").check()
    served.gate.close()
    seed = page.locator("input.typed[data-parameter=seed]")
    seed.fill("8")
    seed.press("Tab")
    page.locator("#strip [data-state=running]").first.wait_for(state="attached")
    passed = served.gate.n_passed
    with page.expect_response(lambda answer: answer.url.endswith("/api/jobs")) as second:
        seed.fill("9")
        seed.press("Tab")
    assert second.value.request.post_data_json["replaces"]
    with sound(page):
        served.gate.open()
    n_sounds = 3
    assert served.gate.n_passed <= passed + 1 + n_sounds, "of the first job only the running stage is completed"


def test_from_start_to_sound_by_keyboard_alone(open_studio):
    page = open_studio()
    tab_to(page, "[data-picture=original]")
    for key in ("ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert page.locator("[data-picture=original] .layer-mask circle").count() == 2
    tab_to(page, "#make-sound")
    with sound(page):
        page.keyboard.press("Enter")
    tab_to(page, "#play")
    page.keyboard.press("Space")
    page.locator("#play[aria-pressed=true]").wait_for()
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keyboard shortcuts").wait_for()


def test_earlier_sounds_are_found_starred_and_compared(open_studio):
    page = open_studio()
    make_sound(page)
    make_sound(page)
    page.get_by_role("button", name="History").click()
    page.locator("#history-list li").nth(1).wait_for()
    page.locator("#history-list [aria-label^=Star]").first.click()
    page.locator("#history-list [aria-label^=Star][aria-pressed=true]").first.wait_for()
    boxes = page.locator("#history-list input[type=checkbox]:not(:disabled)")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare selected").click()
    page.locator("#result .result-head").nth(1).wait_for()
    assert page.locator("#result .lane.result").count() == 2


def test_a_table_is_computed_row_by_row(open_studio, tmp_path):
    page = open_studio()
    page.get_by_role("tab", name="Batch").click()
    (tmp_path / "rows.csv").write_text('original,edited,remove,add\none.png,two.png,"20,20","40,30"\n')
    page.get_by_label("CSV file and pictures").set_input_files(tmp_path / "rows.csv")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("finished: 1 of 1 rows").wait_for()
    with page.expect_download() as table:
        page.get_by_role("link", name="Download the table").click()
    assert "one-two" in table.value.path().read_text()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1024, "light"), (1920, "dark")])
def test_it_fits_and_is_accessible(open_studio, width, scheme):
    page = open_studio(width=width, scheme=scheme)
    make_sound(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal overflow"
    assert accessibility_violations(page) == {}
