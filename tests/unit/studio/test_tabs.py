"""Tabs are described from the configuration of their methods."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from svdaudio.methods import find_method
from svdaudio.studio.tabs import describe, tabs


@pytest.fixture(scope="module")
def parameters():
    return {one["name"]: one for one in describe(find_method("manipulate"))["parameters"]}


def test_limits_are_those_of_the_engine(parameters):
    duration = parameters["generate.duration_s"]
    generate = type(find_method("manipulate").config().generate)
    for bound, beyond in (("ge", -0.01), ("le", 0.01)):
        limit = duration["limits"][bound]
        assert generate(duration_s=limit).duration_s == limit
        with pytest.raises(ValidationError):
            generate(duration_s=limit + beyond)
    assert duration["limits"]["le"] > duration["high"], "longer sounds than the recommended ones can be made"


def test_limits_have_the_names_of_their_kind(parameters):
    assert parameters["align.threshold"]["limits"] == {"gt": 0, "le": 1}
    assert parameters["generate.guidance_scale"]["limits"] == {"ge": 0}
    assert parameters["generate.backend"]["limits"] == {}


def test_a_tab_has_the_preferred_bundle_of_its_method():
    assert describe(find_method("manipulate"))["bundle"] is None, "the bundle of the studio"
    assert describe(find_method("ciap"))["bundle"] == "mini-pretrained"


def test_only_ciap_works_without_regions():
    needs = {one.name: not describe(one)["regions_optional"] for one in tabs()}
    assert needs == {"manipulate": True, "mixer": True, "ciap": False}
