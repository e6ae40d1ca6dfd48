from __future__ import annotations

import pytest

from svdaudio.config import RunConfig, resolve
from svdaudio.errors import ConfigError
from svdaudio.methods import find_method, method_names, other_parameters
from svdaudio.methods.manipulate import ManipulateConfig


@pytest.mark.parametrize("name", method_names())
def test_a_method_has_its_own_parameters_before_those_of_every_run(name):
    method = find_method(name)
    common = list(RunConfig.parameters())
    assert common == ["seed", "bundle", "execution.device", "execution.threads", "execution.keep_models",
                      "execution.compile"]  # fmt: skip
    assert list(method.config.parameters())[-len(common) :] == common
    assert not other_parameters(method) & method.config.parameters().keys()
    if name == "baseline":
        assert {"svd.k", "remove", "align.threshold", "point"} <= other_parameters(method)


def test_a_section_is_not_a_parameter():
    with pytest.raises(ConfigError, match="unknown parameter 'svd'"):
        resolve(ManipulateConfig, overrides=["svd=1"])
    with pytest.raises(ConfigError, match="unknown parameter 'svd'"):
        ManipulateConfig().value("svd")


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        ManipulateConfig().seed = 3


def test_tables_hold_every_parameter_as_plain_data():
    config = resolve(ManipulateConfig, overrides=["add=1,2", "svd.k=7"]).config
    tables = config.tables()
    assert (tables["add"], tables["svd"]["k"], tables["execution"]["threads"]) == ([[1.0, 2.0, 1]], 7, None)
    assert ManipulateConfig.model_validate(tables) == config
