"""Step 9: the class scores of a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.taggers.scores import class_scores

if TYPE_CHECKING:
    from svdaudio.models.taggers.scores import Tagger


def run(
    *, waveform: Float[NDArray[np.float32], "1 sample"], tagger: Tagger
) -> dict[str, Float[NDArray[np.float32], " class"]]:
    """Scores 0 to 1, in the order of the tagger's classes."""
    return {"scores": class_scores(tagger, to_tensor(waveform)).numpy()}
