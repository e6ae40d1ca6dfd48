"""Objects of a picture: clicks, boxes, mask files, and tables of objects."""

from __future__ import annotations

import pytest

from svdaudio.config import Objects, Region, RunConfig, anchored, nested, parameter, resolve
from svdaudio.errors import ConfigError


class Scene(RunConfig):
    remove: Region = parameter((), "the object to remove", "a region", is_table=True, paths="objects")
    objects: Objects = parameter({}, "objects", "objects", is_table=True, paths="objects")
    gains: dict[str, float] = parameter({}, "gains", "numbers", is_table=True)


def given(**values):
    return resolve(Scene, given=values).config


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("120,80", [[120, 80, 1]]),
        ([120, 80], [[120, 80, 1]]),
        ([[120, 80, 1], [30, 40, 0]], [[120, 80, 1], [30, 40, 0]]),
        (["120,80", "30,40,0"], [[120, 80, 1], [30, 40, 0]]),
        ("120,80;30,40,0", [[120, 80, 1], [30, 40, 0]]),
        ("10,20,30,40", {"object": {"box": [10, 20, 30, 40]}}),
        ("cat.png", {"object": {"mask": "cat.png"}}),
        ("cat=1,2;dog=3,4;cat=5,6,0", {"cat": {"points": [[1, 2, 1], [5, 6, 0]]}, "dog": {"points": [[3, 4, 1]]}}),
        (["cat=10,20,30,40", "cat=15,25"], {"cat": {"box": [10, 20, 30, 40], "points": [[15, 25, 1]]}}),
        ({"cat": "1,2", "dog": {"mask": "d.npy"}}, {"cat": {"points": [[1, 2, 1]]}, "dog": {"mask": "d.npy"}}),
    ],
)
def test_a_region_is_read_from_every_form(value, plain):
    assert given(remove=value).value("remove") == plain
    assert given(remove=plain).value("remove") == plain, "its own plain form is one of them"


@pytest.mark.parametrize(
    "value",
    ["cat=", "1", "1,2,3", "1,2,3,4,5", "9,9,1,1", "1,2;cat=3,4", "cat=a.png;cat=b.png", {"a b": "1,2"}],
)
def test_invalid_regions_are_refused(value):
    with pytest.raises(ConfigError):
        given(remove=value, objects=value)


def test_table_entries_are_separate_parameters():
    config = resolve(
        Scene,
        given={"objects": ["cat=1,2", "dog=3,4"], "gains": {"cat": -6}},
        overrides=["gains.dog=3", "objects.owl=5,6"],
    )
    assert config.config.value("gains") == {"cat": -6, "dog": 3}
    assert config.config.value("objects.owl.points") == [[5, 6, 1]]
    assert "objects.owl.points" in Scene.parameters()
    assert "objectsowl" not in Scene.parameters()
    assert list(Scene.parameters())[:3] == ["remove", "objects", "gains"]
    with pytest.raises(ConfigError, match=r"'gains\.pig' has no value"):
        config.config.value("gains.pig")


def test_a_configuration_round_trips_through_a_record():
    config = given(objects=["cat=1,2", "cat=0,0,9,9", "dog=d.png"], remove="cat=1,2", gains={"cat": 0.5})
    assert Scene.model_validate(config.tables()).flat() == config.flat()
    assert Scene.model_validate(nested(config.flat())).tables() == config.tables()


def test_a_stronger_source_replaces_entries_and_whole_regions(tmp_path):
    (tmp_path / "a.toml").write_text("[remove]\ncat = '1,2'\n[gains]\ncat = 1.0\ndog = 2.0\n")
    resolved = resolve(Scene, config_file=tmp_path / "a.toml", given={"remove": ["3,4"], "gains": {"cat": 5.0}})
    assert resolved.config.value("remove") == [[3, 4, 1]]
    assert resolved.config.value("gains") == {"cat": 5, "dog": 2}
    assert resolved.sources["remove"] == "command line"


def test_mask_files_are_relative_to_the_file_that_names_them(tmp_path):
    (tmp_path / "a.toml").write_text("remove = 'cat.png'\n[objects]\nowl = '1,2'\n[objects.dog]\nmask = 'dog.png'\n")
    config = resolve(Scene, config_file=tmp_path / "a.toml").config
    assert config.value("remove") == {"object": {"mask": str(tmp_path / "cat.png")}}
    assert config.value("objects") == {"dog": {"mask": str(tmp_path / "dog.png")}, "owl": {"points": [[1, 2, 1]]}}
    assert anchored([[1, 2, 1]], tmp_path) == [[1, 2, 1]]
    assert anchored("cat=c.png;dog=1,2", tmp_path) == f"cat={tmp_path / 'c.png'};dog=1,2"
