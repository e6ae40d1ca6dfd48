"""The method `embed-sound`: one stage that returns the same as the stages of `hear`, for both presets."""

from __future__ import annotations

import data_sets
import numpy as np
import pytest
from made_up_files import made_up_state

from svdaudio.engine.in_memory import compute
from svdaudio.methods import find_method
from svdaudio.methods.embed_sound import NODE
from svdaudio.models.sound_clip.encoder import SoundEncoder, SoundEncoderNetwork

SMALL = {"widths": [4, 4, 8, 8], "n_dims": 24}


@pytest.mark.parametrize("preset", ["corrected", "published"])
@pytest.mark.parametrize("place", ["start", "centre"])
def test_the_embedding_equals_that_of_hear(tmp_path, preset, place):
    network = SoundEncoderNetwork(**SMALL)
    network.load_state_dict(made_up_state(network))
    models = {"sound_encoder": SoundEncoder(network.eval(), dim=24, preset=preset)}
    files = {"sound": data_sets.write_sound(tmp_path / "tone.wav", hz=700)}
    hear, embed = find_method("hear"), find_method("embed-sound")
    config = hear.config(hear={"preset": preset, "place": place})
    expected = compute(["sound.hear"], hear.nodes(config), config, models, files=files)["sound.hear"]["embedding"]
    config = embed.config(place=place)
    found = compute([NODE], embed.nodes(config), config, models, files=files)[NODE]["embedding"]
    assert np.array_equal(found, expected)
    assert found.shape == (1, 24)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


def test_a_short_sound_is_centred_by_default():
    assert find_method("embed-sound").config().place == "centre"
