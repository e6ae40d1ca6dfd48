"""Settings of the page: uploaded masks by id, and no other file."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from svdaudio.errors import InputError
from svdaudio.methods import find_method
from svdaudio.studio.people import Person
from svdaudio.studio.settings import check_no_files, with_masks

PARAMETERS = find_method("manipulate").config.parameters()


@pytest.fixture
def person(tmp_path):
    return Person(id="one", folder=tmp_path, masks={"0abc": SimpleNamespace(path=tmp_path / "cat.png")})


@pytest.mark.parametrize(
    "given",
    [{"remove": {"cat": {"mask": "0abc"}}}, {"remove.cat": {"mask": "0abc"}}, {"remove.cat.mask": "0abc"}],
)
def test_an_uploaded_mask_becomes_the_file_of_the_studio(person, given):
    text = str(with_masks(given, PARAMETERS, person))
    assert str(person.folder / "cat.png") in text
    assert "0abc" not in text


def test_other_values_are_unchanged(person):
    given = {
        "svd.alpha": 0.2,
        "generate.backend": "diffusers",
        "remove": [[20, 20, 1]],
        "add": {"duck": {"points": [[1, 2, 1]], "box": [1, 2, 3, 4]}},
    }
    assert with_masks(given, PARAMETERS, person) == given
    texts = {"remove": "120,80;30,40,0", "add": "duck=40,30"}
    assert with_masks(texts, PARAMETERS, person) == texts


@pytest.mark.parametrize(
    "given",
    [
        {"remove": {"cat": {"mask": "/etc/passwd"}}},
        {"remove": {"cat": {"mask": "passwd.png"}}},
        {"remove": "secret.png"},
        {"remove": "cat=secret.png;dog=1,2"},
        {"remove": ["secret.png"]},
        {"remove.cat": "secret.png"},
        {"remove.cat.mask": "secret.png"},
        {"bundle": "../../elsewhere"},
        {"bundle": "..\\elsewhere"},
    ],
)
def test_other_paths_of_files_are_refused(person, given):
    with pytest.raises(InputError, match="a file cannot be named here"):
        with_masks(given, PARAMETERS, person)
    with pytest.raises(InputError, match="a file cannot be named here"):
        check_no_files(given, PARAMETERS)


def test_masks_of_other_users_are_not_found(person):
    with pytest.raises(InputError, match=r"unknown mask: got 0def\. Choose the mask file again"):
        with_masks({"remove": {"cat": {"mask": "0def"}}}, PARAMETERS, person)
    with pytest.raises(InputError, match="a file cannot be named here"):
        check_no_files({"remove": {"cat": {"mask": "0abc"}}}, PARAMETERS)
