"""The registry of published weights."""

from __future__ import annotations

import subprocess
import sys

import pytest

from svdaudio.checkpoints.registry import Published, PublishedFile, find, for_role, of_format, registry, with_digest
from svdaudio.checkpoints.roles import LOADERS, OPTIONAL_ROLES, OWN_FORMAT
from svdaudio.errors import InputError


def test_every_format_has_a_loader_for_every_role_that_it_fills():
    for published in registry():
        for role in published.roles:
            assert published.format in LOADERS[role], published.name


def test_every_published_loader_is_reachable_from_the_registry():
    formats = {format_ for known in LOADERS.values() for format_ in known} - {OWN_FORMAT}
    assert formats == {published.format for published in registry()}
    assert all(of_format(format_) is not None for format_ in formats)


def test_names_and_paths_are_unique():
    assert len({published.name for published in registry()}) == len(registry())
    places = [published.place(file) for published in registry() for file in published.files]
    assert len(set(places)) == len(places)


def test_every_digest_names_its_source():
    for published in registry():
        known = [file for file in published.files if file.sha256 is not None]
        assert (published.known_from is not None) == bool(known)


@pytest.mark.parametrize("name", ["clip-vit-l-14", "clip-vit-b-32"])
def test_openai_addresses_contain_the_digest(name):
    (file,) = find(name).files
    assert file.sha256 is not None
    assert file.sha256 in file.urls[0]


def test_addresses_use_https():
    assert all(url.startswith("https://") for p in registry() for file in p.files for url in file.urls)


def test_a_file_is_found_by_its_digest():
    published = find("sam2.1-hiera-large")
    assert with_digest(published.files[0].sha256 or "") == (published, published.files[0])
    assert with_digest("0" * 64) is None


def test_the_recommended_entry_comes_first():
    assert [published.name for published in for_role("tagger")] == ["panns-cnn14", "ast-audioset"]
    for role in set(LOADERS) - set(OPTIONAL_ROLES):
        assert not for_role(role) or for_role(role)[0].recommended


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no published model is named 'clap'.*clip-vit-l-14"):
        find("clap")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_a_file_stays_in_its_folder(name):
    with pytest.raises(ValueError, match="leave its folder"):
        PublishedFile(name=name)


def test_a_folder_is_loaded_as_one_model():
    made = Published(
        name="x", title="", purpose="", roles=("diffuser", "vocoder"), format="f", licence="", page="",
        folder="x", files=(PublishedFile(name="vocoder/config.json"),),
    )  # fmt: skip
    assert made.loads_from == "x"
    assert made.place(made.files[0]) == "x/vocoder/config.json"


def test_importing_the_registry_is_light():
    code = (
        "import sys, svdaudio.checkpoints.bundle, svdaudio.checkpoints.install; "
        "from svdaudio.checkpoints.registry import registry;"
        "registry(); print([m for m in ('torch', 'numpy', 'prefect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
