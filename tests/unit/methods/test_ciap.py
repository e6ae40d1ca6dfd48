"""CIAP as a method: its configuration, and the workflow with and without objects."""

from __future__ import annotations

import pytest

from svdaudio.errors import ConfigError
from svdaudio.methods.ciap import METHOD

OBJECTS = {"cat": {"points": [[1, 2]]}, "dog": {"points": [[3, 4]]}}


def test_without_objects_it_is_the_published_workflow():
    config = METHOD.config()
    assert [name.removeprefix("original.") for name in METHOD.nodes(config)] == [
        "image", "embed_image", "diffuse", "decode", "vocode", "choose", "finish", "scores",
    ]  # fmt: skip
    assert METHOD.result_of(config) == "original"
    assert config.bundle == "mini-pretrained"


def test_an_object_is_faded_by_embedding_the_picture_without_it():
    config = METHOD.config(objects=OBJECTS, gains={"cat": "-inf"})
    nodes = METHOD.nodes(config)
    assert config.gains == {"cat": "-inf", "dog": 0.0, "rest": 0.0}
    assert nodes["without.cat.erase"].inputs == {"pixels": "original.image.pixels", "mask": "cat.mask.mask"}
    assert nodes["without.cat.embed_image"].inputs == {"pixels": "without.cat.erase.pixels"}
    assert list(nodes["mix.fade"].inputs.values()) == ["without.cat.embed_image.clap"]
    assert METHOD.result_of(config) == "mix"
    assert METHOD.sounds(config) == {"original": "original.finish.waveform", "mix": "mix.finish.waveform"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objects": {"mix": {"points": [[1, 2]]}}}, "'mix' is a reserved name"),
        ({"objects": OBJECTS, "gains": {"owl": 0}}, "unknown name 'owl' in gains"),
        ({"gains": {"cat": 0}}, "unknown name 'cat' in gains"),
    ],
)
def test_names_and_gains_are_checked(given, message):
    with pytest.raises(ConfigError, match=message):
        METHOD.config(**given)
