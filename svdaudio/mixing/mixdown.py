"""Stems at their gains, and their sum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.mixing.levels import amplitude

Waveform = Float[NDArray[np.float32], "1 sample"]


def apply_gain(waveform: Waveform, gain_db: float | str) -> Waveform:
    """A sound at a gain: every sample times 10^(dB/20), in float32."""
    return waveform * np.float32(amplitude(gain_db))


def mixdown(waveforms: Mapping[str, Waveform]) -> Waveform:
    """The sum of sounds, added in float32 in the order of their names. It may exceed 1; nothing is clipped or scaled.

    Raises:
        InputError: they differ in length, or there is none.
    """
    if len({each.shape for each in waveforms.values()}) != 1:
        lengths = ", ".join(f"{name} {each.shape[-1]}" for name, each in waveforms.items())
        raise InputError("the stems differ in length", expected="one number of samples", got=lengths or "no stem")
    first, *others = (waveforms[name] for name in sorted(waveforms))
    mix = first.copy()
    for each in others:
        mix += each
    return mix
