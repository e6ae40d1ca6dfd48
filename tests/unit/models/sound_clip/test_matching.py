"""Cosines and probabilities of labels."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import CheckpointError
from svdaudio.models.sound_clip.matching import match

VECTORS = np.eye(4, dtype=np.float32)[:3]
SOUND = np.array([0.6, 0.8, 0, 0], np.float32)


def test_probabilities_are_the_softmax_of_scaled_cosines():
    found = match(SOUND, VECTORS, scale=5.0)
    assert found.cosines.tolist() == pytest.approx([0.6, 0.8, 0])
    weights = np.exp(5 * np.array([0.6, 0.8, 0]))
    np.testing.assert_allclose(found.scores, weights / weights.sum(), rtol=1e-6)
    assert match(SOUND, VECTORS, scale=1000.0).scores.tolist() == pytest.approx([0, 1, 0])


def test_a_pair_of_two_spaces_is_refused():
    with pytest.raises(CheckpointError, match="different spaces: expected 4 dimensions, as in the guide, got 2"):
        match(SOUND[:2], VECTORS, scale=1.0)
