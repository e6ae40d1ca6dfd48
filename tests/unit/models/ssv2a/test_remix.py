"""Slots, and remixing with SSV2A."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from svdaudio.errors import ConfigError, InputError
from svdaudio.models.ssv2a import SSV2A, Config
from svdaudio.models.ssv2a.remix import N_SLOTS, RemixSettings, fill_slots, remix
from svdaudio.randomness import stage_generator

RNG = np.random.default_rng(0)


def unit(*shape):
    found = RNG.standard_normal(shape).astype(np.float32)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


EMBEDDING, OBJECTS = unit(768), unit(3, 768)


def test_slots_hold_the_picture_then_the_objects_then_zeros():
    slots = fill_slots(EMBEDDING, OBJECTS)
    assert slots.shape == (N_SLOTS, 768)
    assert np.array_equal(slots[0], EMBEDDING)
    assert np.array_equal(slots[1:4], OBJECTS)
    assert not slots[4:].any()


def test_no_objects_are_allowed():
    assert not fill_slots(EMBEDDING, np.zeros((0, 768), np.float32))[1:].any()


def test_the_first_63_objects_are_kept():
    objects = unit(70, 768)
    assert np.array_equal(fill_slots(EMBEDDING, objects)[1:], objects[:63])


@pytest.mark.usefixtures("unchecked_shapes")
def test_shapes_are_checked():
    with pytest.raises(InputError, match="do not match"):
        fill_slots(EMBEDDING, OBJECTS[:, :5])
    with pytest.raises(InputError, match="do not match"):
        fill_slots(EMBEDDING[None], OBJECTS)


@pytest.mark.parametrize("wrong", [{"cycle_its": -1}, {"cycle_samples": 0}, {"var_samples": 0}])
def test_invalid_counts_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"remix.{next(iter(wrong))}"):
        RemixSettings(**wrong)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    narrow = {"layers": [32, 32, 48], "dropout": 0.0}
    styler = {"embed_dim": 32, "nhead": 4}
    config = Config.from_dict(
        {"manifold_dim": 32, "manifold": narrow, "generator": narrow, "remixer": {"styler": styler}}
    )
    return SSV2A(config).eval()


def claps(model, seed, embedding=EMBEDDING):
    settings = RemixSettings(cycle_its=2, cycle_samples=4, var_samples=4)
    return remix(
        model, embedding=embedding, objects=OBJECTS, settings=settings, generator=stage_generator(seed, "remix")
    )


def test_the_result_is_one_normalised_clap_embedding(model):
    found = claps(model, 1)
    assert found.shape == (512,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found), 1, atol=1e-5)


def test_the_seed_determines_the_result_and_the_global_state_does_not(model):
    first = claps(model, 1)
    torch.manual_seed(99)
    assert np.array_equal(claps(model, 1), first)
    assert not np.array_equal(claps(model, 2), first)


def test_the_embedding_matters(model):
    assert not np.array_equal(claps(model, 1, OBJECTS[0]), claps(model, 1))
