"""Screenshots of a page for the documents, by an installed Chromium: light, dark, and on a phone.

uv run python tests/screenshots.py artifacts/out/…/report.html docs/images/report
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

SHOTS = {"light": (1280, 1240, "light"), "dark": (1280, 1240, "dark"), "phone": (390, 844, "dark")}
"""Name → width, height in px, and colour scheme."""


def take(page_file: Path, stem: Path) -> None:
    """Write `<stem>-<name>.webp` for each of `SHOTS`."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, height, scheme) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(page_file.absolute().as_uri())
            page.wait_for_timeout(500)
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            image.save(stem.with_name(f"{stem.name}-{name}.webp"), quality=80)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
