"""Stems: exact gains and an exact sum."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import InputError
from svdaudio.mixing.mixdown import apply_gain, master_gain, mixdown
from svdaudio.sounds.finish import integrated_loudness, true_peak


def wave(seed, n=1000):
    return np.random.default_rng(seed).uniform(-1, 1, (1, n)).astype(np.float32)


@pytest.mark.parametrize("gain", [-12.0, -0.5, 0.0, 3.0])
def test_a_gain_is_exact(gain):
    before = wave(0)
    after = apply_gain(before, gain)
    assert after.dtype == np.float32
    np.testing.assert_allclose(20 * np.log10(np.abs(after / before)), gain, atol=1e-5)
    assert np.array_equal(apply_gain(before, 0.0), before)
    assert not apply_gain(before, "-inf").any()


def test_the_mix_is_the_sum_sample_for_sample():
    stems = {name: wave(seed) for seed, name in enumerate(("owl", "cat", "dog"))}
    mix = mixdown(stems)
    assert np.array_equal(mix, stems["cat"] + stems["dog"] + stems["owl"])
    assert np.array_equal(mix, mixdown(dict(reversed(stems.items()))))
    assert np.abs(mix).max() > 1, "it is neither clipped nor scaled"
    assert stems["cat"] is not mix


def test_stems_have_one_length():
    with pytest.raises(InputError, match=r"differ in length.*cat 1000, dog 900"):
        mixdown({"cat": wave(0), "dog": wave(1, 900)})
    with pytest.raises(InputError):
        mixdown({})


def test_the_mix_is_normalised_in_loudness_within_its_peak_limit():
    stems = {"cat": 0.1 * wave(0, 44_100), "dog": 0.1 * wave(1, 44_100)}
    gain, notes = master_gain(stems, 22_050, loudness_lufs=-20.0, true_peak_db=-1.0)
    mastered = mixdown({name: apply_gain(each, gain) for name, each in stems.items()})[0].astype(np.float64)
    assert integrated_loudness(mastered, 22_050) == pytest.approx(-20, abs=0.01)
    assert not notes
    gain, [note] = master_gain(stems, 22_050, loudness_lufs=0.0, true_peak_db=-1.0)
    loud = mixdown({name: apply_gain(each, gain) for name, each in stems.items()})[0].astype(np.float64)
    assert true_peak(loud) == pytest.approx(-1, abs=0.01)
    assert "peaks reach -1 dB" in note
    assert master_gain({"cat": 0 * wave(0)}, 22_050, loudness_lufs=-20.0, true_peak_db=-1.0)[0] == 0
