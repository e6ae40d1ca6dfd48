"""Bundles in a real browser: missing models are fetched from a local server, stopped, resumed and used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import toy_method
from browser_checks import accessibility_violations
from file_server import serving
from published_toy import CONTENT, N_BYTES, everything
from studio_server import serving_studio

from svdaudio.checkpoints import registry
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.roles import LOADERS
from svdaudio.session import Session
from svdaudio.studies.scenes import Scene
from svdaudio.studio.access import access_for
from svdaudio.studio.app import Studio


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A studio with a complete toy bundle, and one that a local server can fill."""
    toy_method.install(monkeypatch, tmp_path)
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    session = Session(
        tmp_path / "store",
        open_bundle=lambda name: toy_method.ToyBundle() if name == "mini" else Bundle.open(name),
        open_models=lambda bundle, config: dict.fromkeys(LOADERS),
    )
    scene = Scene(
        original=tmp_path / "one.png", edited=tmp_path / "two.png", remove=((20, 20),), add=((40, 30),),
        removed=("cat",), added=("duck",),
    )  # fmt: skip
    studio = Studio(session, {"toy": scene}, access_for("127.0.0.1", None))
    with serving(CONTENT) as server:
        publish(monkeypatch, server, server.sha256)
        with serving_studio(studio) as url:
            yield SimpleNamespace(url=url, server=server)
            server.go.set()


def publish(monkeypatch, server, sha256):
    monkeypatch.setattr(registry, "registry", lambda: (everything(server.url, sha256),))


@pytest.fixture
def opened(chromium, world):
    """Open the page and its list of bundles. An error on the page fails the test."""
    contexts, faults = [], []

    def open_page(*, width=1280, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(world.url)
        page.locator("#plan", has_text="will run").wait_for()
        page.get_by_role("button", name="Models…").click()
        page.locator("[data-bundle=full]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def test_missing_models_are_fetched_stopped_resumed_and_used(opened, world):
    page = opened()
    full = page.locator("[data-bundle=full]")
    assert full.get_by_role("button", name="Use full").is_disabled()
    assert "All networks in one file" in full.inner_text()
    assert "licence: CC BY 4.0" in full.inner_text()
    world.server.held_after = N_BYTES // 3
    full.get_by_role("button", name="Fetch 3.0 MB").click()
    full.get_by_text("of 3.0 MB · 0 of 1 file").wait_for()
    page.reload()  # the download continues, and is found again
    page.locator("#plan", has_text="will run").wait_for()
    page.get_by_role("button", name="Models…").click()
    full.get_by_role("button", name="Stop").click()
    full.get_by_role("button", name="Stopping…").wait_for()  # else the download could finish before the stop
    world.server.held_after = None
    world.server.go.set()
    full.get_by_text("Stopped. Fetch continues").wait_for()
    full.get_by_role("button", name="Fetch").click()
    page.locator("[data-bundle=full][data-ready=true]").wait_for()
    assert "complete · 3.0 MB" in full.inner_text()
    assert world.server.ranges[-1] is not None
    full.get_by_role("button", name="Use full").click()
    full.get_by_text("in use").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_label("bundle").input_value() == "full"
    page.locator("#plan", has_text="will run: ").wait_for()
    page.locator("#objects .mask-line", has_text="score 0.90").first.wait_for()


def test_an_error_names_the_fix_and_a_missing_digest_must_be_accepted(opened, world, monkeypatch):
    publish(monkeypatch, world.server, None)
    page = opened(width=390, scheme="dark")
    full = page.locator("[data-bundle=full]")
    fetch = full.get_by_role("button", name="Fetch")
    full.get_by_text("No digest is published").wait_for()
    assert fetch.is_disabled()
    full.get_by_label("Also fetch the model without a published digest").check()
    world.server.statuses = [404]
    fetch.click()
    full.locator(".field-error", has_text="answered 404").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal overflow"
    assert accessibility_violations(page) == {}
