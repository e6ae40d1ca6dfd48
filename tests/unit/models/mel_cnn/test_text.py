"""The texts that the mini bundle can embed."""

from __future__ import annotations

import pytest
import torch

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.errors import ConfigError

BUNDLE = Bundle.open("mini")


def test_a_name_of_a_class_has_an_embedding_near_that_of_its_sound():
    encoder = Models(BUNDLE, device="cpu")["text_encoder"]
    assert encoder.classes == BUNDLE.classes("text_encoder") == BUNDLE.classes("tagger")
    owl, cat = encoder.embed(["owl", "cat"])
    torch.testing.assert_close(owl.norm(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert abs(float(owl @ cat)) < 0.01
    with pytest.raises(ConfigError, match="got 'rain'"):
        encoder.embed(["owl", "rain"])
