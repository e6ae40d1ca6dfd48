"""Starting a browser, and checks of a page in it."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path():
    """The path of an installed Chromium; None if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def launch(browser_type, path):
    """Start the browser of that path. Containers have no sandbox for it."""
    return browser_type.launch(executable_path=path, args=["--no-sandbox"])


def wait_for_studio(page):
    """Wait until a studio's page is there: it knows what would run, and shows a sound or says that there is none."""
    page.locator("#plan", has_text="will run").or_(page.locator("#plan", has_text="in the store")).wait_for()
    page.locator("#result:not([aria-busy]) .card").first.wait_for()


def serious_faults_of_access(page):
    """Rules of axe-core that a page breaks with serious or critical impact, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return {
        one["id"]: [node["target"] for node in one["nodes"]]
        for one in found
        if one["impact"] in ("serious", "critical")
    }
