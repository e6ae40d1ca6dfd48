"""A user's sound fitted to the length and the rate of a run."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import InputError
from svdaudio.sounds.fitting import SEAM_S, fit

RATE_HZ = 22_050


def tone(duration_s, rate_hz=RATE_HZ, frequency_hz=440.0):
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz).astype(np.float32)


def test_a_sound_of_the_right_length_is_unchanged():
    given = tone(2)
    fitted = fit(given, RATE_HZ, duration_s=2)
    np.testing.assert_allclose(fitted.waveform[0], given, atol=1e-6)
    assert (fitted.waveform.dtype, fitted.remarks) == (np.float32, ())


def test_a_longer_sound_is_cut_with_a_note():
    given = tone(3)
    fitted = fit(given, RATE_HZ, duration_s=1.5)
    np.testing.assert_allclose(fitted.waveform[0], given[: round(1.5 * RATE_HZ)], atol=1e-6)
    assert fitted.remarks == ("the sound lasts 3.00 s: its first 1.5 s are used",)


def test_a_shorter_sound_is_repeated_without_clicks():
    n_given, n_faded = RATE_HZ // 2, round(SEAM_S * RATE_HZ) + 1
    fitted = fit(np.ones(n_given, np.float32), RATE_HZ, duration_s=1.25)
    first, second, rest = np.split(fitted.waveform[0], [n_given, 2 * n_given])
    assert np.array_equal(first, second)
    assert np.array_equal(first[: len(rest)], rest)
    assert np.abs(np.diff(fitted.waveform[0])).max() < 0.01, "no step at a seam"
    np.testing.assert_allclose(first[n_faded:-n_faded], 1, atol=1e-6)
    assert fitted.remarks == ("the sound lasts 0.50 s: it is repeated to 1.25 s",)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_any_rate_gives_the_same_sound(rate_hz):
    fitted = fit(tone(1, rate_hz), rate_hz, duration_s=1)
    assert fitted.waveform.shape == (1, RATE_HZ)
    np.testing.assert_allclose(fitted.waveform[0, 500:-500], tone(1)[500:-500], atol=0.01)


@pytest.mark.parametrize(("value", "got"), [(0.0, "only zeros"), (np.nan, "not finite"), (np.inf, "not finite")])
def test_silent_and_non_finite_sounds_are_refused(value, got):
    with pytest.raises(InputError, match=got):
        fit(np.full(100, value, np.float32), RATE_HZ, duration_s=1)
