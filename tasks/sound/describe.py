"""The CLAP embedding of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

if TYPE_CHECKING:
    from svdaudio.models.audioldm.clap import TextEncoder


def run(*, text: str, text_encoder: TextEncoder) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """The embedding [512], of unit length."""
    return {"clap": text_encoder.embed([text])[0].float().cpu().numpy()}
