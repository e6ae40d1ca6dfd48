"""Takes screenshots of pages for the documents with an installed Chromium.

    uv run python tests/screenshots.py report artifacts/out/…/report.html docs/images/report
    uv run python tests/screenshots.py studio docs/images

The first takes a report in light, in dark and on a phone. The second starts a studio, edits and mixes its example, and
takes both tabs; tests/browser/test_studio.py uses the same function.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser_checks import chromium_path, launch, wait_for_studio
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

REPORT = {"light": (1280, 1240, "light"), "dark": (1280, 1240, "dark"), "phone": (390, 844, "dark")}
"""Name → width, height in px, and colour scheme."""
STUDIO_SIZE = (1280, 1520)
STUDIO = ("edit", "mixer")
DOG = (0.41, 0.61)
"""Position of the second object of the mixer, as fractions of the width and height."""
TIMEOUT_MS = 900_000


def take_report(browser: Browser, page_file: Path, stem: Path) -> None:
    """Write `<stem>-<name>.webp` for each of `REPORT`."""
    for name, (width, height, scheme) in REPORT.items():
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.goto(page_file.absolute().as_uri())
        page.wait_for_timeout(500)
        save(page, stem.with_name(f"{stem.name}-{name}.webp"))


def take_studio(browser: Browser, url: str, folder: Path) -> None:
    """Write `studio-<tab>.webp` for each of `STUDIO`: the example edited, and with its first object muted."""
    width, height = STUDIO_SIZE
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(url)
    wait_for_studio(page)
    make_sound(page)
    save(page, folder / "studio-edit.webp")
    page.get_by_role("tab", name="Mixer").click()
    page.get_by_role("button", name="Add an object: objects").click()
    page.locator("#objects .object-name").nth(1).fill("dog")
    page.keyboard.press("Tab")
    stage = page.locator("[data-picture=original]")
    area = stage.bounding_box()
    assert area is not None
    stage.click(position={"x": DOG[0] * area["width"], "y": DOG[1] * area["height"]})
    page.get_by_role("button", name="Mute").first.click()
    make_sound(page)
    save(page, folder / "studio-mixer.webp")
    page.close()


def make_sound(page: Page) -> None:
    """Generate the sound of the page's present settings, and wait until everything is shown."""
    with page.expect_response(lambda answer: answer.url.rpartition("/")[0].endswith("/api/runs") and answer.ok):
        page.locator("#make-sound").click()
    page.locator("#plan", has_text="in the store").wait_for()
    page.locator("#result:not([aria-busy]) .lane.result").first.wait_for()
    page.locator("#feedback:not([hidden])").wait_for()
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")


def save(page: Page, path: Path) -> None:
    """Write a screenshot of a page as WebP."""
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=82)


@contextmanager
def opened_studio() -> Iterator[str]:
    """The address of a studio with the mini bundle, in a thread of this process, with a temporary store."""
    from svdaudio.session import Session
    from svdaudio.studio.access import access_for
    from svdaudio.studio.serve import open_studio, serve

    with tempfile.TemporaryDirectory() as temporary:
        studio = open_studio(Session(Path(temporary) / "store"), access_for("127.0.0.1", None))
        addresses: list[str] = []
        there = threading.Event()

        def ready(address: str) -> None:
            addresses.append(address)
            there.set()

        options = {"host": "127.0.0.1", "port": 0, "ready": ready}
        threading.Thread(target=serve, args=(studio,), kwargs=options, daemon=True).start()
        there.wait()
        yield addresses[0]
        studio.close()


def main() -> None:
    """Take the screenshots that the command line names."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    kinds = options.add_subparsers(dest="kind", required=True)
    report = kinds.add_parser("report")
    report.add_argument("page", type=Path)
    report.add_argument("stem", type=Path)
    kinds.add_parser("studio").add_argument("folder", type=Path)
    given = options.parse_args()
    with sync_playwright() as driver:
        browser = launch(driver.chromium, chromium_path())
        if given.kind == "report":
            take_report(browser, given.page, given.stem)
        else:
            with opened_studio() as url:
                take_studio(browser, url, given.folder)
        browser.close()


if __name__ == "__main__":
    main()
