"""Pictures without an object, unions and remainders of masks, and which locals belong to which object."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import EmptyRegionError, InputError
from svdaudio.mixing.erase import bounding_box, erase, grown, remainder, united
from svdaudio.mixing.owners import dropped, owners


def mask(rows, columns, shape=(40, 100)):
    found = np.zeros(shape, bool)
    found[rows, columns] = True
    return found


CAT, DOG = mask(slice(10, 20), slice(10, 30)), mask(slice(15, 35), slice(60, 90))


def test_a_region_takes_the_mean_colour_of_its_surroundings():
    pixels = np.full((40, 100, 3), (10, 20, 30), np.uint8)
    pixels[CAT] = 255
    erased = erase(pixels, CAT, 0.0)
    assert (erased == (10, 20, 30)).all()
    assert (pixels[CAT] == 255).all(), "the picture itself is unchanged"
    assert (erase(pixels, np.ones((40, 100), bool), 0.1) == 128).all()


def test_a_mask_grows_by_a_fraction_of_the_longer_side():
    assert np.array_equal(grown(CAT, 0), CAT)
    assert bounding_box(grown(CAT, 0.02)).tolist() == [[8, 8, 32, 22]]
    assert bounding_box(CAT).tolist() == [[10, 10, 30, 20]]
    with pytest.raises(EmptyRegionError):
        bounding_box(CAT & DOG)


def test_unions_and_remainders():
    both = united({"cat": CAT, "dog": DOG})
    assert both.sum() == CAT.sum() + DOG.sum()
    rest = remainder({"cat": CAT, "dog": DOG}, 0.02)
    assert not (rest & grown(both, 0.02)).any()
    assert (rest | grown(both, 0.02)).all()
    with pytest.raises(EmptyRegionError, match="no rest"):
        remainder({"cat": ~CAT, "dog": CAT}, 0.0)
    with pytest.raises(InputError, match="belong to different pictures"):
        united({"cat": CAT, "dog": DOG[:20]})
    with pytest.raises(InputError):
        united({})


def test_a_box_belongs_to_the_object_that_covers_most_of_it():
    boxes = np.array([[9, 9, 31, 21], [55, 10, 95, 38], [40, 0, 50, 10], [0, 0, 100, 40]], np.float32)
    assert owners(boxes, {"cat": CAT, "dog": DOG}, 0.0) == ["cat", "dog", None, None]
    assert owners(boxes[:1], {}, 0.0) == [None]
    assert owners(boxes[:0], {"cat": CAT}, 0.0) == []


def test_dropped_objects_leave_an_empty_array_of_their_width_and_type():
    none = dropped(np.ones((3, 768), np.float32))
    assert (none.shape, none.dtype) == ((0, 768), np.float32)
