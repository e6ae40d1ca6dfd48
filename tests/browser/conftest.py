"""A real browser: an installed Chromium, driven by Playwright. Without one, these tests are skipped."""

from __future__ import annotations

import os

import pytest
from browser_checks import chromium_path, launch

REQUIRED = "SVDAUDIO_BROWSER_TESTS"
"""Set to "required" to make a missing browser a failure."""


@pytest.fixture(scope="module")
def chromium():
    """A browser without a network; each test opens pages in its own contexts.

    It closes with its module: while Playwright is active, other libraries assume that this thread runs an event loop.
    """
    path = chromium_path()
    if path is None:
        advice = "no browser: install Debian's or Ubuntu's package `chromium`, or Google Chrome"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(advice)
        pytest.skip(advice)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = launch(driver.chromium, path)
        yield browser
        browser.close()


@pytest.fixture
def another_chromium(chromium):
    """A second browser in its own process."""
    browser = launch(chromium.browser_type, chromium_path())
    yield browser
    browser.close()


class Opened:
    """A page, and every error on it."""

    def __init__(self, page, faults, requests):
        self.page, self.faults, self.requests = page, faults, requests


@pytest.fixture
def open_page(chromium):
    """Open a file offline: `open_page(path, width=390, scheme="dark")`."""
    contexts = []

    def open_file(path, *, width=1280, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        faults, requests = [], []
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.absolute().as_uri())
        return Opened(page, faults, requests)

    yield open_file
    for context in contexts:
        context.close()
