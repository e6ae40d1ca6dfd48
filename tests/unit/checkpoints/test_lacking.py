"""Missing parts of a bundle, found from its description and the names and sizes of its files."""

from __future__ import annotations

import json

import pytest
from file_server import serving
from published_toy import CONTENT, N_BYTES, everything

from svdaudio.checkpoints import install, registry
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.lacking import (
    bytes_begun,
    bytes_here,
    faults,
    models_to_fetch,
    needs_trust,
    recommended,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "full"


@pytest.fixture
def server():
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def published(monkeypatch, server):
    """The only published model: it fills every role, and is recommended."""
    made = everything(server.url, server.sha256)
    monkeypatch.setattr(registry, "registry", lambda: (made,))
    return made


def names(models):
    return [one.name for one in models]


def test_full_lacks_the_recommended_models_until_they_are_installed(folder, published):
    assert names(recommended(folder)) == names(models_to_fetch(folder)) == ["everything"]
    install.fetch(published, folder)
    assert models_to_fetch(folder) == []
    assert bytes_here(published, folder) == N_BYTES
    (folder / "everything.ckpt").unlink()
    assert names(models_to_fetch(folder)) == ["everything"], "a lost file"


def test_another_bundle_lacks_only_files_of_its_description(tmp_path, published):
    folder = tmp_path / "own"
    assert models_to_fetch(folder) == []
    install.fetch(published, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["models"] = {"vocoder": manifest["models"]["vocoder"]}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    assert models_to_fetch(folder) == [], "its other roles are not needed here"
    (folder / "everything.ckpt").unlink()
    [lost] = models_to_fetch(folder)
    assert lost.roles == ("vocoder",)
    install.fetch(lost, folder)
    assert Bundle.open("own", tmp_path).roles == ("vocoder",)


def test_roles_filled_by_other_models_are_not_lacking(folder, published):
    install.fetch(published.model_copy(update={"name": "another"}), folder)
    assert recommended(folder) == []
    assert models_to_fetch(folder) == []


def test_partial_downloads_count(folder, published):
    folder.mkdir()
    (folder / ".everything.ckpt.partial").write_bytes(CONTENT[:1000])
    assert bytes_begun(published, folder) == bytes_here(published, folder) == 1000


def test_a_digest_may_be_published_or_pinned(folder, published, server):
    unknown = everything(server.url, None)
    assert needs_trust(unknown, folder)
    assert not needs_trust(published, folder)
    install.fetch(published, folder)
    assert not needs_trust(unknown, folder), "it is pinned in the bundle"


def test_faults_are_those_that_loading_would_report(folder, published):
    install.fetch(published, folder)
    bundle = Bundle.open("full", folder.parent)
    assert faults(bundle) == {}
    (folder / "everything.ckpt").write_bytes(b"cut")
    assert set(faults(bundle)) == set(published.roles)
    assert "does not match the description of the bundle 'full'" in faults(bundle)["vocoder"]
