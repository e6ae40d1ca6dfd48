"""The sounds of a data set that a zero-shot evaluation uses."""

from __future__ import annotations

import data_sets
import pytest

from svdaudio.errors import InputError
from svdaudio.mini import farm
from svdaudio.pretraining.items import DataSet, Item
from svdaudio.studies.zero_shot import ZeroShotStudy
from svdaudio.studies.zero_shot_data import choose, farm_data, read_data


@pytest.fixture
def data(tmp_path):
    """Ten items, every third of the fold "test"."""
    items = [
        Item(name=f"{n}", sound=tmp_path / f"{n}.wav", labels=("dog",), group=f"{n}", fold="train" if n % 3 else "test")
        for n in range(10)
    ]
    return DataSet(items=tuple(items), classes=("dog",))


@pytest.mark.parametrize(
    ("folds", "limit", "names"),
    [
        ((), None, "0123456789"),
        (("test",), None, "0369"),
        (("test",), 2, "06"),
        ((), 4, "0257"),
        ((), 99, "0123456789"),
        (("train", "test"), None, "0123456789"),
    ],
)
def test_folds_and_even_distances(data, folds, limit, names):
    assert "".join(item.name for item in choose(data, folds, limit)) == names


def test_an_unknown_fold_lists_the_known_ones(data):
    with pytest.raises(InputError, match="unknown fold 'eval': expected test or train"):
        choose(data, ("eval",), None)


def test_vggsound_is_evaluated_on_its_test_clips(tmp_path):
    data_sets.write_text(tmp_path / "vggsound.csv", "A,1,dog,train\nB,2,cat,test\n")
    for name in "AB":
        data_sets.write_sound(tmp_path / f"{name}.wav")
    study = ZeroShotStudy(dataset="vggsound", root=tmp_path, folder=tmp_path / "out")
    assert [row.name for row in study.rows()] == ["B_000002"]
    assert study.data.classes == ("cat", "dog")
    other = ZeroShotStudy(dataset="vggsound", root=tmp_path, folder=tmp_path / "out", folds=("train",))
    assert [row.name for row in other.rows()] == ["A_000001"]
    again, command = ZeroShotStudy.of_record(other.kept("a command"))
    assert (again, command) == (other, "a command")


def test_a_data_set_without_readable_sounds_is_an_error(tmp_path):
    data_sets.write_text(tmp_path / "vggsound.csv", "B,2,cat,test\n")
    (tmp_path / "B.wav").write_text("no sound")
    with pytest.raises(InputError, match="none of the sounds can be read"):
        ZeroShotStudy(dataset="vggsound", root=tmp_path, folder=tmp_path / "out").rows()


def test_the_farm_is_reproducible(tmp_path):
    found = farm_data(tmp_path / "one", 2)
    assert [(item.fold, len(item.labels)) for item in found.items] == [("one", 1), ("one", 1), ("two", 2), ("two", 2)]
    assert [item.labels[0] for item in found.items[:2]] == list(farm.CLASSES[:2])
    again = read_data("farm", None, folder=tmp_path / "two", limit=2)
    assert [item.sound.read_bytes() for item in again.items] == [item.sound.read_bytes() for item in found.items]
