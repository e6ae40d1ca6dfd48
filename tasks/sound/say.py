"""The embeddings of labels in CLIP's space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.config import prompts

if TYPE_CHECKING:
    from svdaudio.models.clip.guide import Guide


def run(*, labels: Sequence[str], template: str, guide: Guide) -> dict[str, Float[NDArray[np.float32], "label dim"]]:
    """A unit vector for each label; without labels, for each text that the guide knows."""
    return {"vectors": guide.embed_texts(prompts(labels or guide.texts, template))}
