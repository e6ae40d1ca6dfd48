"""SpecAugment (Park et al. 2019), as used to train the published sound encoder.

As in soundclip/datasets.py of kuai-lab/sound-guided-semantic-image-manipulation at dfba091, it masks the stretched
spectrogram of 512 rows and 128 columns, before it is read as 128 rows of 512; 0 is the lowest level.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

N_ROWS, N_COLUMNS = 512, 128
"""Frequency and time of the stretched spectrogram."""


def mask_spectrogram(
    mel_image: Float[NDArray[np.float32], "1 128 512"],
    rng: np.random.Generator,
    *,
    rounds: int,
    columns: float,
    rows: float,
) -> Float[NDArray[np.float32], "1 128 512"]:
    """A copy with time masks and frequency masks, which are 0.

    Args:
        mel_image: mel image of a sound.
        rng: draws widths, heights and positions.
        rounds: number of masks of each kind.
        columns: widest time mask, as a share of all columns; widths are uniform.
        rows: highest frequency mask, likewise.
    """
    stretched = mel_image.reshape(N_ROWS, N_COLUMNS).copy()
    for _ in range(rounds):
        width, height = int(rng.uniform(0, columns) * N_COLUMNS), int(rng.uniform(0, rows) * N_ROWS)
        left, top = int(rng.integers(N_COLUMNS - width + 1)), int(rng.integers(N_ROWS - height + 1))
        stretched[:, left : left + width] = 0
        stretched[top : top + height] = 0
    return stretched.reshape(mel_image.shape)
