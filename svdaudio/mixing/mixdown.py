"""Apply gains to stems, and sum them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.mixing.levels import amplitude
from svdaudio.sounds.finish import SILENCE_LUFS, integrated_loudness, true_peak

Waveform = Float[NDArray[np.float32], "1 sample"]


def apply_gain(waveform: Waveform, gain_db: float | str) -> Waveform:
    """A sound at a gain: every sample times 10^(dB/20), in float32."""
    return waveform * np.float32(amplitude(gain_db))


def mixdown(waveforms: Mapping[str, Waveform]) -> Waveform:
    """The sum of sounds, added in float32 in the order of their names. It may exceed 1; nothing is clipped or scaled.

    Raises:
        InputError: their lengths differ, or no sound is given.
    """
    if len({each.shape for each in waveforms.values()}) != 1:
        lengths = ", ".join(f"{name} {each.shape[-1]}" for name, each in waveforms.items())
        raise InputError("the stems differ in length", expected="one number of samples", got=lengths or "no stem")
    first, *others = (waveforms[name] for name in sorted(waveforms))
    mix = first.copy()
    for each in others:
        mix += each
    return mix


def master_gain(
    waveforms: Mapping[str, Waveform], sample_rate_hz: int, *, loudness_lufs: float, true_peak_db: float
) -> tuple[float, tuple[str, ...]]:
    """The gain in dB that brings the sum of sounds to a loudness, and notes on it; 0 for silence.

    Args:
        waveforms: the stems at their gains.
        sample_rate_hz: sample rate of the stems.
        loudness_lufs: target integrated loudness of their sum.
        true_peak_db: highest true peak of their sum, in dB relative to full scale; the gain is reduced to keep it.
    """
    mix = mixdown(waveforms)[0].astype(np.float64)
    measured = integrated_loudness(mix, sample_rate_hz)
    if measured <= SILENCE_LUFS:
        return 0.0, ("the mix is silent: its loudness is unchanged",)
    wanted, highest = loudness_lufs - measured, true_peak_db - true_peak(mix)
    if wanted <= highest:
        return wanted, ()
    return highest, (f"the mix stays at {measured + highest:.1f} LUFS: its peaks reach {true_peak_db:g} dB there",)
