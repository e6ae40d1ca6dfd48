"""SpecAugment (Park et al. 2019) as the published sound encoder was trained with it.

Facts are from soundclip/datasets.py of kuai-lab/sound-guided-semantic-image-manipulation at dfba091: it works on the
stretched spectrogram of 512 rows and 128 columns, before that is read as 128 rows of 512, and 0 is the lowest level.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

N_ROWS, N_COLUMNS = 512, 128
"""Frequency and time of the stretched spectrogram."""


def blotted(
    mel_image: Float[NDArray[np.float32], "1 128 512"],
    rng: np.random.Generator,
    *,
    rounds: int,
    columns: float,
    rows: float,
) -> Float[NDArray[np.float32], "1 128 512"]:
    """A copy in which runs of time and of frequency are 0.

    Args:
        mel_image: the picture of a sound.
        rng: draws widths, heights and places.
        rounds: runs of each kind.
        columns: a run of columns is up to this share of all, uniformly.
        rows: a run of rows likewise.
    """
    stretched = mel_image.reshape(N_ROWS, N_COLUMNS).copy()
    for _ in range(rounds):
        width, height = int(rng.uniform(0, columns) * N_COLUMNS), int(rng.uniform(0, rows) * N_ROWS)
        left, top = int(rng.integers(N_COLUMNS - width + 1)), int(rng.integers(N_ROWS - height + 1))
        stretched[:, left : left + width] = 0
        stretched[top : top + height] = 0
    return stretched.reshape(mel_image.shape)
