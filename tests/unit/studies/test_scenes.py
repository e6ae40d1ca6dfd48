import json

import pytest

from svdaudio.errors import InputError
from svdaudio.studies.scenes import demo_scene, read_scene


def test_the_demo_removes_the_cat_and_adds_the_duck():
    scene = demo_scene()
    assert (scene.removed, scene.added) == (("cat",), ("duck",))
    assert scene.remove == ((756.0, 581.0),)
    assert scene.original.is_file()
    assert scene.edited.is_file()


def test_a_missing_scene_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_scene(tmp_path / "none.json")


@pytest.mark.parametrize(
    "description", ["", "{}", json.dumps({"original": {"objects": [{"cls": "dog", "point": [1]}]}})]
)
def test_an_invalid_scene_file_is_one_clear_error(tmp_path, description):
    path = tmp_path / "scene.json"
    path.write_text(description)
    with pytest.raises(InputError, match="does not describe a scene"):
        read_scene(path)
