"""The parts that a run of the published method mixes, and settings of the mix as columns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from svdaudio.config import resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.manipulate import METHOD, ManipulateConfig, nodes
from svdaudio.methods.mixes import MIX_PARAMETERS, columns, edit_parts, mix_anchors, mix_cosines, part_nodes
from svdaudio.svd.factors import factorize
from svdaudio.svd.many import mix_many
from svdaudio.svd.mix import MixWeights, background_embedding, manipulate


class Run(dict):
    """Arrays of a run by node, all of them finished."""

    config = ManipulateConfig()

    def has(self, *names):
        return all(name in self for name in names)

    def scores(self):
        return {"original": {"cat": 1.0, "dog": 0.0}, "edited": {"cat": 0.0, "dog": 1.0},
                "manipulated": {"cat": 0.6, "dog": 0.8}}  # fmt: skip


@pytest.fixture(scope="module")
def run():
    random = np.random.default_rng(0)
    tokens = {}
    for name in ("original", "edited"):
        found = random.standard_normal((257, 768)).astype(np.float32)
        tokens[name] = found / np.linalg.norm(found, axis=1, keepdims=True)
    grids = {"removed": np.arange(256) % 23 == 0, "added": np.arange(256) % 31 == 1}
    arrays = Run({f"{name}.tokens": {"tokens": found, "embedding": found[0]} for name, found in tokens.items()})
    for region, picture in (("removed", "original"), ("added", "edited")):
        arrays[f"{region}.factors"] = vars(factorize(tokens[picture], grids[region]))
    arrays["background"] = {"embedding": background_embedding(tokens["edited"], *grids.values())}
    parts = edit_parts(arrays)
    mixed = manipulate(
        removed=parts.removed, added=parts.added, background=parts.background, direct=parts.direct,
        k=5, alpha=0.3, beta=1.5, weights=MixWeights(suppress=0.1, boost=0.4, background=0.1, direct=0.4),
    )  # fmt: skip
    arrays["mix"] = {"embedding": mixed.embedding}
    return arrays


def test_the_parts_reproduce_the_mix_of_the_stage(run):
    found = mix_many(edit_parts(run), columns([{}], ManipulateConfig()))
    np.testing.assert_allclose(found[0], run["mix"]["embedding"], atol=2e-6)
    table = nodes(ManipulateConfig())
    assert set(part_nodes(table)) == {
        "removed.factors", "added.factors", "background", "edited.tokens", "original.tokens"
    }  # fmt: skip
    assert set(MIX_PARAMETERS) == set(table["mix"].bindings.values())


def test_the_mix_is_compared_with_pictures_and_regions(run):
    anchors = mix_anchors(run)
    assert list(anchors) == ["original", "edited", "removed", "added"]
    found = mix_cosines(run)
    for name, anchor in anchors.items():
        assert np.linalg.norm(anchor) == pytest.approx(1, abs=1e-5)
        assert found[name] == pytest.approx(float(run["mix"]["embedding"] @ anchor), abs=1e-6)
    assert METHOD.measures(run) == {"cosines": found, "score_cosines": {"original": 0.6, "edited": 0.8}}
    assert METHOD.measures(SimpleNamespace(has=lambda *names: False, scores=dict)) == {}


def test_settings_become_columns_and_other_values_come_from_the_configuration():
    config = resolve(ManipulateConfig, overrides=["svd.beta=2", "mix.direct=0.5"]).config
    found = columns([{"svd.k": 7}, {"svd.alpha": 0.1, "mix.gamma": 0.3}], config)
    assert found.n_settings == 2
    assert (found.k.dtype, found.k.tolist(), found.alpha.tolist()) == (np.int64, [7, 5], [0.3, 0.1])
    assert (found.beta.tolist(), found.background.tolist(), found.direct.tolist()) == ([2, 2], [0.1, 0.3], [0.5, 0.5])
    assert (found.suppress.tolist(), found.boost.tolist()) == ([0.1, 0.1], [0.4, 0.4])
    with pytest.raises(ConfigError):
        columns([{}, {"svd.k": 0}], config)
