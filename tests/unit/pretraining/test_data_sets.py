from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svdaudio.errors import InputError
from svdaudio.pretraining.clips import fit_length
from svdaudio.pretraining.data_sets import find_layout, split_by_fold, split_by_group
from svdaudio.pretraining.items import Item


def items(*groups):
    return [Item(name=str(n), sound=Path(f"{n}.wav"), group=group) for n, group in enumerate(groups)]


def test_a_folder_is_recognised_or_its_layout_given(tmp_path):
    (tmp_path / "a.wav").touch()
    assert find_layout(tmp_path).name == "pairs"
    assert find_layout(tmp_path, "pairs").name == "pairs"
    with pytest.raises(InputError, match=r"unknown layout: expected .*pairs, got nothing"):
        find_layout(tmp_path, "nothing")
    with pytest.raises(InputError, match="folder not found"):
        find_layout(tmp_path / "b")
    (tmp_path / "a.wav").unlink()
    with pytest.raises(InputError, match=r"is not a data set: expected one of the layouts .*, got no sounds"):
        find_layout(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together(seed):
    made = items(*"aaabbcddddefg")
    split = split_by_group(made, share=0.3, seed=seed)
    assert sorted((*split.training, *split.held_out)) == list(range(len(made)))
    assert not {made[i].group for i in split.training} & {made[i].group for i in split.held_out}
    assert len(split.held_out) >= 0.3 * len(made)
    assert split == split_by_group(made, share=0.3, seed=seed)


def test_both_parts_of_a_split_are_never_empty():
    assert split_by_group(items("a", "b"), share=0.99, seed=0).training != ()
    assert split_by_group(items("a", "b"), share=0.01, seed=0).held_out != ()
    assert split_by_group(items("a", "a"), share=0, seed=0).training == (0, 1)
    with pytest.raises(InputError, match="nothing can be held out: expected items of two or more groups"):
        split_by_group(items("a", "a"), share=0.1, seed=0)


def test_the_test_part_of_a_data_set_is_held_out():
    made = [replace(item, fold=fold) for item, fold in zip(items(*"abcd"), ("1", "2", "2", None), strict=True)]
    split = split_by_fold(made, "2")
    assert (split.training, split.held_out) == ((0, 3), (1, 2))
    with pytest.raises(InputError, match=r"the fold '3' cannot be held out: expected one of 1, 2, got 0 of 4 items"):
        split_by_fold(made, "3")
    with pytest.raises(InputError, match="expected a data set with folds or splits"):
        split_by_fold(items("a", "b"), "1")


def test_sounds_are_cropped_or_repeated_to_a_length():
    sound = np.arange(10, dtype=np.float32)
    rng = np.random.default_rng(0)
    assert fit_length(sound, 4, place="start", rng=rng).tolist() == [0, 1, 2, 3]
    assert fit_length(sound, 4, place="centre", rng=rng).tolist() == [3, 4, 5, 6]
    assert {int(fit_length(sound, 4, place="random", rng=rng)[0]) for _ in range(200)} == set(range(7))
    assert fit_length(sound, 12, place="random", rng=rng).tolist() == [*range(10), 0, 1]
