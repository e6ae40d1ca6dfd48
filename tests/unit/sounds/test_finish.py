import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svdaudio.methods.stages import FINISH
from svdaudio.sounds.finish import SILENCE_LUFS, finish, integrated_loudness, true_peak

RATE_HZ = 22_050


def tone(*, frequency_hz=997.0, amplitude=0.5, offset=0.0, duration_s=3.0):
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (amplitude * np.cos(2 * np.pi * frequency_hz * time_s) + offset).astype(np.float32)[None]


def finished(waveform, *, loudness_lufs=-23.0, true_peak_db=-1.0):
    return finish(waveform, RATE_HZ, loudness_lufs=loudness_lufs, true_peak_db=true_peak_db)


def loudness_of(waveform):
    return integrated_loudness(waveform[0].astype(np.float64), RATE_HZ)


def test_a_full_scale_tone_has_the_loudness_of_the_recommendation():
    """BS.1770-4: a sine of 997 Hz at full scale in one front channel reads -3.01 LKFS."""
    assert loudness_of(tone(amplitude=1.0)) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("amplitude", [0.001, 0.1, 0.9])
@pytest.mark.parametrize("target", [-30.0, -23.0])
def test_every_sound_reaches_the_target_loudness(amplitude, target):
    made = finished(tone(amplitude=amplitude, offset=0.05), loudness_lufs=target)
    assert loudness_of(made.waveform) == pytest.approx(target, abs=0.02)
    assert made.loudness_lufs == pytest.approx(target)
    assert made.remarks == ()
    assert (made.waveform.dtype, made.waveform.shape) == (np.float32, (1, 3 * RATE_HZ))


def test_offset_and_jumps_at_the_ends_are_removed():
    drifting = tone(amplitude=0.1) + np.linspace(0, 0.2, 3 * RATE_HZ, dtype=np.float32)
    made = finished(drifting).waveform[0]
    assert abs(made.mean()) < 5e-4
    assert np.abs(made.reshape(30, -1)[1:-1].mean(axis=1)).max() < 2e-3
    assert (made[0], made[-1]) == (0, 0)
    assert np.abs(np.diff(made[:20])).max() < 0.02


def test_the_rest_of_the_sound_only_changes_in_gain():
    given_tone = tone()[0, 2000:-2000]
    made = finished(tone())
    ratio = made.waveform[0, 2000:-2000] / 10 ** (made.gain_db / 20)
    np.testing.assert_allclose(ratio, given_tone, atol=2e-3)


def test_the_level_is_lowered_to_keep_peaks_below_the_limit():
    clicks = np.zeros((1, 3 * RATE_HZ), np.float32)
    clicks[0, 1000::4000] = 1.0
    made = finished(clicks, true_peak_db=-3.0)
    assert true_peak(made.waveform[0].astype(np.float64)) == pytest.approx(-3, abs=0.01)
    assert made.loudness_lufs == pytest.approx(loudness_of(made.waveform), abs=0.02)
    assert made.loudness_lufs < -24
    (remark,) = made.remarks
    assert remark == f"the sound stays at {made.loudness_lufs:.1f} LUFS instead of -23: its peaks reach -3 dB there"


def test_a_true_peak_lies_between_samples():
    quarter = np.hanning(20_000) * np.cos(np.pi / 2 * np.arange(20_000) + np.pi / 4)  # no sample above 0.71
    assert abs(quarter).max() < 0.72
    assert true_peak(quarter) == pytest.approx(0, abs=0.05)
    assert true_peak(np.zeros(100)) == -np.inf


@pytest.mark.parametrize("quiet", [np.zeros((1, RATE_HZ)), np.full((1, RATE_HZ), 0.3), tone(amplitude=1e-5)])
def test_silence_stays_silent_with_a_note(quiet):
    made = finished(quiet.astype(np.float32))
    assert (made.loudness_lufs, made.gain_db) == (SILENCE_LUFS, 0.0)
    assert made.remarks == ("the sound is silent (below -70 LUFS): its loudness is unchanged",)
    assert abs(made.waveform).max() < 1e-3


@pytest.mark.parametrize("n_samples", [1, 2, 3, 50, 221, 4410, 8819])
def test_a_sound_shorter_than_a_block_is_measured_as_a_whole(n_samples):
    made = finished(tone(duration_s=1.0)[:, :n_samples])
    assert np.isfinite(made.waveform).all()
    assert made.waveform.shape == (1, n_samples)
    assert "less than the 400 ms that loudness is measured over: it is measured as a whole" in made.remarks[0]
    if n_samples > 4000:
        assert made.loudness_lufs == pytest.approx(-23)


@given(st.integers(1, 30_000), st.floats(0, 4), st.integers(0, 2**32 - 1))
def test_no_sound_makes_it_fail_or_exceed_the_limit(n_samples, exponent, seed):
    noise = np.random.default_rng(seed).standard_normal((1, n_samples)) * 10**-exponent
    made = finished(noise.astype(np.float32), loudness_lufs=-10.0)
    assert np.isfinite(made.waveform).all()
    assert abs(made.waveform).max() <= 10 ** (-1 / 20) + 1e-6


def test_the_body_returns_waveform_loudness_and_gain():
    notes = []
    run = FINISH.load_body()
    made = run(waveform=tone(amplitude=0.01), loudness_lufs=-23.0, true_peak_db=-1.0, note=notes.append)
    assert made["loudness_lufs"] == pytest.approx(-23)
    assert made["gain_db"] == pytest.approx(-23 - loudness_of(tone(amplitude=0.01)), abs=0.1)
    assert notes == []
    run(waveform=np.zeros((1, 100), np.float32), loudness_lufs=-23.0, true_peak_db=-1.0, note=notes.append)
    assert len(notes) == 2
