"""Composites: reproducible, with masks that fit the picture and boxes that fit the masks."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.mini import farm
from svdaudio.mini.composites import Composite, closeup, compose

SIZE = 96


def drawn_picture(seed: int, n_animals: int | None = None) -> Composite:
    return compose(np.random.default_rng(seed), size=SIZE, n_animals=n_animals)


def test_the_same_seed_draws_the_same_picture() -> None:
    first, second, other = drawn_picture(3), drawn_picture(3), drawn_picture(4)
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.instances, second.instances)
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("n_animals", [1, 2, 4])
def test_every_animal_has_a_number_and_a_class(n_animals: int) -> None:
    drawn = drawn_picture(0, n_animals)
    assert drawn.pixels.shape == (SIZE, SIZE, 3)
    assert drawn.pixels.dtype == np.uint8
    assert len(drawn.classes) == n_animals
    assert len(set(drawn.classes)) == n_animals
    assert set(np.unique(drawn.instances)) <= set(range(n_animals + 1))
    assert drawn.mask(0).any()


def test_a_box_bounds_its_mask_tightly() -> None:
    drawn = drawn_picture(1, 2)
    for index in range(2):
        box = drawn.box(index)
        assert box is not None
        left, top, right, bottom = box
        outside = drawn.mask(index).copy()
        outside[top:bottom, left:right] = False
        assert not outside.any()
        inside = drawn.mask(index)[top:bottom, left:right]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_a_hidden_animal_has_no_box() -> None:
    drawn = Composite(pixels=np.zeros((8, 8, 3), np.uint8), instances=np.zeros((8, 8), np.uint8), classes=(2,))
    assert drawn.box(0) is None


def test_a_picture_may_have_no_animals() -> None:
    drawn = compose(np.random.default_rng(0), size=SIZE, classes=[])
    assert drawn.classes == ()
    assert not drawn.instances.any()


def test_a_close_up_shows_one_animal_enlarged() -> None:
    shares = [(closeup(np.random.default_rng(s), size=SIZE).instances > 0).mean() for s in range(8)]
    whole = [(drawn_picture(s).instances > 0).mean() for s in range(8)]
    assert np.mean(shares) > 1.5 * np.mean(whole)


def test_held_out_backgrounds_are_not_used_in_training() -> None:
    assert not set(farm.HELD_OUT_BACKGROUNDS) & set(farm.TRAIN_BACKGROUNDS)
