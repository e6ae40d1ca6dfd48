from __future__ import annotations

import pytest

from svdaudio.config import Point, parse_point, resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.manipulate import ManipulateConfig


@pytest.mark.parametrize(
    "value", ["120,80;30,40.5,0", ["120,80", "30,40.5,0"], [[120, 80, 1], [30, 40.5, 0]], [[120, 80], [30, 40.5, 0]],
              (Point(120, 80), Point(30, 40.5, 0))]
)  # fmt: skip
def test_points_in_every_form(value):
    config = resolve(ManipulateConfig, given={"remove": value}).config
    assert config.remove == (Point(120.0, 80.0, 1), Point(30.0, 40.5, 0))
    assert config.value("remove") == [[120.0, 80.0, 1], [30.0, 40.5, 0]]
    assert ManipulateConfig.model_validate(config.model_dump(mode="json")) == config


def test_one_point_with_set():
    for text in ("add=756,570", "add=[[756, 570]]"):
        assert resolve(ManipulateConfig, overrides=[text]).config.value("add") == [[756.0, 570.0, 1]]


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "1,2,1,4", "a,b", "1;2"])
def test_unreadable_points_are_refused(text):
    with pytest.raises(ConfigError, match="a point cannot be read"):
        parse_point(text)
    with pytest.raises(ConfigError):
        resolve(ManipulateConfig, given={"remove": [text]})


def test_points_must_be_finite():
    with pytest.raises(ConfigError):
        resolve(ManipulateConfig, given={"remove": ["nan,3"]})
