"""All parameters: defaults, descriptions, and combinations that are refused."""

from __future__ import annotations

import pytest

from svdaudio.config import resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.manipulate import ManipulateConfig


def test_defaults_are_those_of_the_method():
    resolved = resolve(ManipulateConfig)
    flat = resolved.config.flat()
    assert flat["svd.k"] == 5
    assert (flat["svd.alpha"], flat["svd.beta"]) == (0.3, 1.5)
    assert [flat[f"mix.{n}"] for n in ("alpha", "beta", "gamma", "direct")] == [0.1, 0.4, 0.1, 0.4]
    assert flat["align.threshold"] == 0.5
    assert [flat[f"remix.{n}"] for n in ("cycle_its", "cycle_samples", "var_samples")] == [64, 64, 64]
    assert (flat["generate.steps"], flat["generate.guidance_scale"], flat["generate.candidates"]) == (200, 2.5, 3)
    assert (flat["generate.duration_s"], flat["seed"], flat["geometry"]) == (10.0, 42, "squash")
    assert resolved.remarks == []
    assert flat.keys() == ManipulateConfig.parameters().keys()


def test_every_parameter_has_a_description():
    for parameter in ManipulateConfig.parameters().values():
        assert parameter.meaning
        assert parameter.expected
        if parameter.recommended:
            assert parameter.recommended[0] <= parameter.default <= parameter.recommended[1]


@pytest.mark.parametrize(("steps", "nearest"), [(30, 25), (300, 250), (501, 500), (999, 500)])
def test_steps_that_ddim_cannot_space_evenly_are_refused_with_the_nearest(steps, nearest):
    with pytest.raises(ConfigError, match=rf"divides 1000.*generate\.steps={nearest}"):
        resolve(ManipulateConfig, overrides=[f"generate.steps={steps}"])
    given = [f"generate.steps={steps}", "generate.scheduler=dpm-solver++"]
    assert resolve(ManipulateConfig, overrides=given).config.generate.steps == steps


def test_at_least_one_mixing_weight_must_be_nonzero():
    with pytest.raises(ConfigError, match="every mixing weight is 0"):
        resolve(ManipulateConfig, overrides=[f"mix.{n}=0" for n in ("alpha", "beta", "gamma", "direct")])


def test_forms_that_select_their_own_objects_refuse_dropped_locals():
    assert resolve(ManipulateConfig, overrides=["edit.locals=dropped"]).config.edit.form == "svd"
    with pytest.raises(ConfigError, match=r"edit\.locals = dropped has no effect in form fade"):
        resolve(ManipulateConfig, overrides=["edit.locals=dropped", "edit.form=fade"])
