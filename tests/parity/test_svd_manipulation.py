"""Steps 3 to 7 against results of the published method's code (data/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import svdaudio
from svdaudio.svd.align import align_mask
from svdaudio.svd.factors import factorize
from svdaudio.svd.geometry import Geometry
from svdaudio.svd.mix import background_embedding

TOLERANCE = 1e-5
REGIONS = {"neg": ("original", "suppress", (0.1, 0.3)), "pos": ("edited", "boost", (1.5, 3.0))}
LETTER = {"suppress": "a", "boost": "b"}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "data" / "svd_manipulation.npz") as data:
        return dict(data)


@pytest.mark.parametrize("region", REGIONS)
def test_alignment(golden, region):
    found = align_mask(golden[f"mask_{region}"], Geometry.SQUASH, 0.5)
    np.testing.assert_allclose(found.coverage, golden[f"coverage_{region}"], atol=TOLERANCE)
    assert np.array_equal(found.grid, golden[f"grid_{region}"] > 0)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_patch_weights(golden, as_tensor):
    masks = np.stack([golden["mask_neg"], golden["mask_pos"]])
    found = svdaudio.downsample_mask_to_patch_weights(torch.from_numpy(masks) if as_tensor else masks)
    assert isinstance(found, torch.Tensor) == as_tensor
    assert np.array_equal(np.asarray(found), np.stack([golden["grid_neg"], golden["grid_pos"]]))


def test_singular_values(golden):
    factors = factorize(golden["tokens_original"], golden["grid_neg"])
    np.testing.assert_allclose(factors.s, golden["singular_values_neg"], atol=TOLERANCE)


@pytest.mark.parametrize("k", [1, 5, 10, 15, 500])
@pytest.mark.parametrize(("region", "factor"), [(r, f) for r, (_, _, factors) in REGIONS.items() for f in factors])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_manipulated_embeddings(golden, region, factor, k, as_tensor):
    picture, mode, _ = REGIONS[region]
    tokens, weights = golden[f"tokens_{picture}"], golden[f"grid_{region}"]
    if as_tensor:
        tokens, weights = torch.from_numpy(tokens), torch.from_numpy(weights)
    found = svdaudio.svd_manipulate_embeddings(tokens[0], tokens[1:], weights, k, mode, factor, factor)
    assert isinstance(found, torch.Tensor) == as_tensor
    np.testing.assert_allclose(np.asarray(found), golden[f"{mode}_k{k}_{LETTER[mode]}{factor}"], atol=TOLERANCE)


def test_background(golden):
    found = background_embedding(golden["tokens_edited"], golden["grid_neg"] > 0, golden["grid_pos"] > 0)
    np.testing.assert_allclose(found, golden["background"][None], atol=TOLERANCE)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_three_way_and_four_way_mix(golden, as_tensor):
    names = ("suppress_k5_a0.3", "boost_k5_b1.5", "background")
    parts = [golden[name] for name in names]
    direct = golden["tokens_edited"][0]
    if as_tensor:
        parts, direct = [torch.from_numpy(part) for part in parts], torch.from_numpy(direct)
    three = svdaudio.combine_manipulated_embeddings(*parts, 0.2, 0.5, 0.3)
    four = svdaudio.combine_manipulated_embeddings(*parts, 0.1, 0.4, 0.1, direct, 0.4)
    np.testing.assert_allclose(np.asarray(three), golden["final_three_way"], atol=TOLERANCE)
    np.testing.assert_allclose(np.asarray(four), golden["final_four_way"], atol=TOLERANCE)
