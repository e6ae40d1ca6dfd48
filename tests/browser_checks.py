"""Starts a browser and checks pages in it."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path():
    """The path of an installed Chromium; None if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def launch(browser_type, path):
    """Start the browser at a path, without a sandbox, which containers do not support."""
    return browser_type.launch(executable_path=path, args=["--no-sandbox"])


def wait_for_studio(page):
    """Wait until a studio's page has loaded: it shows the plan, and a sound or that there is none."""
    page.locator("#plan", has_text="will run").or_(page.locator("#plan", has_text="in the store")).wait_for()
    page.locator("#result:not([aria-busy]) .card").first.wait_for()


def accessibility_violations(page):
    """Rules of axe-core that a page violates with serious or critical impact, and the elements concerned."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return {
        one["id"]: [node["target"] for node in one["nodes"]]
        for one in found
        if one["impact"] in ("serious", "critical")
    }
