"""Settings of a sweep, and all of their embeddings at once against one after the other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from svdaudio.config import RunConfig
from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.methods.mixes import MIX_PARAMETERS, columns
from svdaudio.studies.sweep import check_values, combinations, drawn, parse_range, setting_name
from svdaudio.svd.factors import factorize
from svdaudio.svd.many import EditParts, cosines, mix_many, unscaled
from svdaudio.svd.mix import MixWeights, background_embedding, manipulate

RANDOM = ("svd.k=1..40", "svd.alpha=0.0..1.0", "svd.beta=1.0..3.0", "mix.alpha=0.0..0.3", "mix.beta=0.2..0.6",
          "mix.gamma=0.0..0.3", "mix.direct=0.2..0.6")  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    random = np.random.default_rng(0)
    tokens = [random.standard_normal((257, 768)).astype(np.float32) for _ in range(2)]
    tokens = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in tokens]
    grids = [np.arange(256) % 23 == 0, np.arange(256) % 31 == 1]
    return EditParts(
        removed=factorize(tokens[0], grids[0]),
        added=factorize(tokens[1], grids[1]),
        background=background_embedding(tokens[1], *grids),
        direct=tokens[1][0],
    )


def one_by_one(parts, settings):
    found = []
    for setting in settings:
        k, alpha, beta, *weights = (setting.get(name, RunConfig().value(name)) for name in MIX_PARAMETERS)
        mixed = manipulate(
            removed=parts.removed, added=parts.added, background=parts.background, direct=parts.direct,
            k=k, alpha=alpha, beta=beta,
            weights=MixWeights(suppress=weights[0], boost=weights[1], background=weights[2], direct=weights[3]),
        )  # fmt: skip
        found.append(mixed.embedding)
    return np.stack(found)


def test_all_at_once_gives_what_one_after_the_other_gives(parts):
    settings = drawn([parse_range(text) for text in RANDOM], 300, seed=1)
    found = mix_many(parts, columns(settings, RunConfig()))
    np.testing.assert_allclose(found, one_by_one(parts, settings), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_order_of_settings_and_the_company_do_not_matter(parts):
    settings = drawn([parse_range(text) for text in RANDOM], 50, seed=2)
    found = mix_many(parts, columns(settings, RunConfig()))
    backwards = mix_many(parts, columns(settings[::-1], RunConfig()))[::-1]
    np.testing.assert_allclose(found, backwards, atol=1e-6)


def test_without_a_background_it_drops_out(parts):
    bare = EditParts(removed=parts.removed, added=parts.added, background=parts.background[:0], direct=parts.direct)
    settings = [{"mix.gamma": 0.0}, {"mix.gamma": 0.5}]
    found = mix_many(bare, columns(settings, RunConfig()))
    np.testing.assert_allclose(found, one_by_one(bare, settings), atol=1e-6)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"svd.k": 0}, ConfigError),
        ({"svd.alpha": -1.0}, ConfigError),
        ({"svd.beta": float("nan")}, ConfigError),
        ({"mix.beta": -0.1}, ConfigError),
        ({"mix.alpha": 0, "mix.beta": 0, "mix.gamma": 0, "mix.direct": 0}, ConfigError),
        ({"svd.k": 500, "svd.alpha": 0.0}, EmptyRegionError),
    ],
)
def test_one_setting_without_a_meaning_is_refused_as_alone(parts, setting, error):
    with pytest.raises(error):
        mix_many(parts, columns([{}, setting], RunConfig()))


def test_a_mix_of_nothing_is_refused(parts):
    bare = EditParts(removed=parts.removed, added=parts.added, background=parts.background[:0], direct=parts.direct)
    only = {"mix.alpha": 0.0, "mix.beta": 0.0, "mix.direct": 0.0, "mix.gamma": 1.0}
    with pytest.raises(EmptyRegionError, match="the mix leaves nothing"):
        mix_many(bare, columns([only], RunConfig()))


def test_parts_of_different_dimensions_are_refused(parts, unchecked_shapes):
    wrong = EditParts(removed=parts.removed, added=parts.added, background=parts.background, direct=parts.direct[:5])
    with pytest.raises(InputError, match="different shapes"):
        mix_many(wrong, columns([{}], RunConfig()))


def test_cosines_with_what_it_is_mixed_from(parts):
    only_direct = {"mix.alpha": 0.0, "mix.beta": 0.0, "mix.gamma": 0.0, "mix.direct": 1.0}
    found = cosines(
        mix_many(parts, columns([only_direct], RunConfig())),
        {"edited": parts.direct, "added": unscaled(parts.added)},
    )
    assert found["edited"][0] == pytest.approx(1, abs=1e-6)
    assert found["added"][0] < 0.9


def test_ranges_are_read_as_they_are_written():
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
def test_a_range_without_a_meaning_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_range(text)
    assert "\n" not in caught.value.line()


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
    with pytest.raises(ConfigError, match="nothing to sweep"):
        combinations([])
    with pytest.raises(ConfigError, match="has two ranges"):
        combinations([ranges[0], ranges[0]])
    with pytest.raises(ConfigError, match="too many settings"):
        combinations([parse_range("svd.k=1..2000"), parse_range("seed=1..2000")])


def test_settings_drawn_at_random_are_the_same_for_the_same_seed_and_lie_in_their_range():
    ranges = [parse_range(text) for text in ("svd.k=1..8", "svd.alpha=0.1..0.5", "geometry=squash,crop")]
    found = drawn(ranges, 200, seed=3)
    assert found == drawn(ranges, 200, seed=3)
    assert found != drawn(ranges, 200, seed=4)
    assert {one["svd.k"] for one in found} == set(range(1, 9))
    assert all(0.1 <= one["svd.alpha"] <= 0.5 for one in found)
    assert {one["geometry"] for one in found} == {"squash", "crop"}
    with pytest.raises(ConfigError, match="number of settings"):
        drawn(ranges, 0, seed=3)


@pytest.mark.parametrize(
    "text", ["svd.k=0..3", "svd.k=1.5,2", "svd.alpha=-1..1", "geometry=squash,round", "svd.k=1..2:0.5"]
)
def test_values_are_checked_before_settings_are_made(text):
    with pytest.raises(ConfigError, match="has no meaning"):
        check_values([parse_range(text)], {})


def test_a_new_embedding_needs_no_torch():
    program = "import sys, svdaudio.studies.sweep, svdaudio.svd.mix\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
