"""Where things are, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from svdaudio import places
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.errors import CheckpointError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """The folder of an installed package, whose data are a bundle without models; the current folder is another."""
    data = tmp_path / "site-packages" / "svdaudio" / "data"
    write_bundle(data / "checkpoints" / "mini", "shipped")
    monkeypatch.setattr(places, "_PACKAGE", data.parent)
    monkeypatch.setattr(places, "_PACKAGE_DATA", data)
    monkeypatch.delenv("SVDAUDIO_CHECKPOINTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return data


def write_bundle(folder, title):
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(f'{{"title": "{title}", "settings": {{}}, "models": {{}}}}')


def test_a_checkout_has_everything_in_its_own_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("SVDAUDIO_CHECKPOINTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert places.checkout() == places.project_root() == ROOT
    assert places.checkpoints_roots() == (ROOT / "checkpoints",)
    assert places.examples_folder() == ROOT / "examples"
    assert places.default_store() == ROOT / "artifacts"
    assert "git checkout" in places.restore_advice()
    assert "uv sync" in places.install_advice("s3")


def test_a_wheel_reads_its_own_data_and_writes_to_folders_of_the_user(wheel, tmp_path):
    assert places.checkout() is None
    assert places.examples_folder() == wheel / "examples"
    assert places.checkpoints_folder() == tmp_path / "share" / "svdaudio" / "checkpoints"
    assert places.checkpoints_roots() == (places.checkpoints_folder(), wheel / "checkpoints")
    assert places.default_store() == tmp_path / "here" / "artifacts"
    advice = [places.restore_advice(), places.install_advice(), places.install_advice("s3")]
    assert advice == ["reinstall svdaudio", "reinstall svdaudio", "run `pip install 'svdaudio[s3]'`"]


def test_bundles_of_the_user_take_precedence_over_those_of_the_package(wheel, tmp_path, monkeypatch):
    assert Bundle.open("mini").title == "shipped"
    write_bundle(tmp_path / "share" / "svdaudio" / "checkpoints" / "full", "fetched")
    assert Bundle.open("full").title == "fetched"
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(tmp_path / "mine"))
    assert Bundle.open("mini").title == "shipped"
    with pytest.raises(
        CheckpointError, match=r"expected mini\. Run `svdaudio checkpoints fetch`, which fills .*mine/full"
    ):
        Bundle.open("full")
    write_bundle(tmp_path / "mine" / "mini", "trained")
    assert Bundle.open("mini").title == "trained"
    assert Bundle.open("mini").here().title == "trained"


@pytest.mark.parametrize("set_to", ["~/weights", "../weights"])
def test_the_folder_of_checkpoints_is_absolute(wheel, tmp_path, monkeypatch, set_to):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", set_to)
    assert places.checkpoints_folder().resolve() == tmp_path / "weights"
    assert places.checkpoints_folder().is_absolute()


def test_a_lost_bundle_is_reinstalled(wheel):
    (wheel / "checkpoints" / "mini" / "bundle.json").unlink()
    with pytest.raises(CheckpointError, match="Reinstall svdaudio"):
        Bundle.open("mini")
    with pytest.raises(CheckpointError, match="checkpoints fetch"):
        Bundle.open("full")
