"""Settings of a sweep, parsed from text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from svdaudio.errors import ConfigError
from svdaudio.methods.baseline import METHOD as BASELINE
from svdaudio.methods.manipulate import ManipulateConfig
from svdaudio.studies import sweep
from svdaudio.studies.sweep import check_values, combinations, draw_settings, setting_name


def parse_range(text):
    return sweep.parse_range(text, ManipulateConfig.parameters())


def test_ranges_are_parsed():
    assert parse_range("svd.k=1..8").values == (1, 2, 3, 4, 5, 6, 7, 8)
    assert parse_range("svd.k=1..8:3").values == (1, 4, 7)
    assert parse_range("svd.alpha=0.1..0.5:0.1").values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert parse_range("svd.alpha = 0.1, 0.3").values == (0.1, 0.3)
    assert parse_range("geometry=squash,crop").values == ("squash", "crop")
    assert (parse_range("svd.alpha=0.1..0.5").values, parse_range("svd.alpha=0.1..0.5").interval) == ((), (0.1, 0.5))


@pytest.mark.parametrize(
    "text",
    ["svd.k", "svd.k=", "svd.kk=1,2", "svd.k=8..1", "svd.k=1..8:0", "svd.k=a..b", "svd.k=1..2..3", "svd.alpha=0..inf",
     "svd.k=true..8", "remove=1,2", "execution.threads=1,2", "svd.alpha=0..1:1e-9"],
)  # fmt: skip
def test_an_invalid_range_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_range(text)
    assert "\n" not in caught.value.line()


def test_only_parameters_of_the_method_have_ranges():
    assert sweep.parse_range("seed=1..3", BASELINE.config.parameters()).values == (1, 2, 3)
    with pytest.raises(ConfigError, match=r"unknown parameter 'svd\.k' \(from --grid\)"):
        sweep.parse_range("svd.k=1..8", BASELINE.config.parameters())


def test_combinations_and_pairs_of_values():
    ranges = [parse_range("svd.alpha=0.1,0.3"), parse_range("svd.k=1..2")]
    assert [setting_name(one) for one in combinations(ranges)] == [
        "svd.alpha=0.1 svd.k=1", "svd.alpha=0.1 svd.k=2", "svd.alpha=0.3 svd.k=1", "svd.alpha=0.3 svd.k=2"
    ]  # fmt: skip
    assert combinations(ranges, together=True) == [{"svd.alpha": 0.1, "svd.k": 1}, {"svd.alpha": 0.3, "svd.k": 2}]
    with pytest.raises(ConfigError, match="different lengths"):
        combinations([*ranges, parse_range("seed=1..3")], together=True)
    with pytest.raises(ConfigError, match="has no steps"):
        combinations([parse_range("svd.alpha=0.1..0.5")])
    with pytest.raises(ConfigError, match="no range given"):
        combinations([])
    with pytest.raises(ConfigError, match="has two ranges"):
        combinations([ranges[0], ranges[0]])
    with pytest.raises(ConfigError, match="too many settings"):
        combinations([parse_range("svd.k=1..2000"), parse_range("seed=1..2000")])


def test_random_settings_are_reproducible_and_within_their_ranges():
    ranges = [parse_range(text) for text in ("svd.k=1..8", "svd.alpha=0.1..0.5", "geometry=squash,crop")]
    found = draw_settings(ranges, 200, seed=3)
    assert found == draw_settings(ranges, 200, seed=3)
    assert found != draw_settings(ranges, 200, seed=4)
    assert {one["svd.k"] for one in found} == set(range(1, 9))
    assert all(0.1 <= one["svd.alpha"] <= 0.5 for one in found)
    assert {one["geometry"] for one in found} == {"squash", "crop"}
    with pytest.raises(ConfigError, match="number of settings"):
        draw_settings(ranges, 0, seed=3)


@pytest.mark.parametrize(
    "text", ["svd.k=0..3", "svd.k=1.5,2", "svd.alpha=-1..1", "geometry=squash,round", "svd.k=1..2:0.5"]
)
def test_values_are_checked_before_settings_are_made(text):
    with pytest.raises(ConfigError, match="has an invalid value"):
        check_values([parse_range(text)], {}, ManipulateConfig)


def test_a_new_embedding_needs_no_torch():
    program = "import sys, svdaudio.studies.sweep, svdaudio.methods.mixes\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
