"""Pictures of sounds: level, place, length, sample rate. Parity is in tests/parity/test_sound_clip.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from svdaudio.models.sound_clip import spectrogram
from svdaudio.models.sound_clip.spectrogram import PRESETS, first_frames, level_db, mel_image, mel_images

RATE_HZ = 44_100


def tone(frequency_hz=1000.0, *, n_samples=RATE_HZ, amplitude=0.5, rate_hz=RATE_HZ):
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(n_samples) / rate_hz)).astype(np.float32)


def test_only_the_corrected_preset_preserves_levels():
    loud, quiet = tone(), 0.1 * tone()
    published = [mel_image(one, RATE_HZ, preset="published") for one in (loud, quiet)]
    corrected = [mel_image(one, RATE_HZ, preset="corrected") for one in (loud, quiet)]
    # 20 dB of a range of 80 dB, where neither is clipped by the floor
    assert np.abs(published[0] - published[1]).max() < 1e-4
    assert corrected[0].max() - corrected[1].max() == pytest.approx(0.25, abs=1e-3)
    assert published[0].max() == pytest.approx(1, abs=0.01)


def test_a_full_scale_sine_is_the_reference():
    images = [mel_image(tone(hertz, amplitude=1.0), RATE_HZ) for hertz in (280, 1000)]
    assert all(0.98 < image.max() < 1 for image in images)


def test_silence():
    silence = np.zeros(RATE_HZ, np.float32)
    assert mel_image(silence, RATE_HZ).max() == 0
    # As published: each value of a silent clip is its maximum. Only the frames after its end are 0.
    published = mel_image(silence, RATE_HZ, preset="published")
    assert (published.max(), published.min()) == (1, 0)


def test_frequency_is_vertical_and_time_is_repeated_four_times():
    image = mel_image(tone(1000.0, n_samples=442_368), RATE_HZ)[0]
    highest = image.mean(axis=1).argmax()
    band = spectrogram.mel_filters()[:, highest]
    assert abs(band.argmax().item() * RATE_HZ / spectrogram.N_FFT - 1000) < 50
    click = np.zeros(442_368, np.float32)
    click[:2048] = tone(n_samples=2048)
    repeated = mel_image(click, RATE_HZ)[0].reshape(128, 4, 128)
    assert repeated[highest, :, 0].min() > 10 * repeated[highest, :, 5:].max()


@pytest.mark.parametrize("preset", PRESETS)
def test_batching_does_not_change_spectrograms(preset):
    waveforms = np.stack([tone(), 0.2 * tone(300.0)])
    together = mel_images(torch.from_numpy(waveforms), preset=preset).numpy()
    for waveform, image in zip(waveforms, together, strict=True):
        np.testing.assert_allclose(mel_image(waveform, RATE_HZ, preset=preset), image, atol=1e-6)


def test_first_frames_of_every_place():
    assert first_frames(2, 1000, place="start").tolist() == [0, 0]
    assert first_frames(1, 1000, place="centre").tolist() == [68]
    assert first_frames(1, 800, place="centre").tolist() == [-32]
    drawn = first_frames(500, 1000, place="random", random=np.random.default_rng(0))
    assert (drawn.min(), drawn.max()) == (0, 136)
    drawn = first_frames(500, 800, place="random", random=np.random.default_rng(0))
    assert (drawn.min(), drawn.max()) == (-64, 0)
    with pytest.raises(ValueError, match="needs a generator"):
        first_frames(1, 1, place="random")


def test_the_place_shifts_the_sound():
    short = tone(n_samples=200 * 512)
    start, centre = mel_image(short, RATE_HZ), mel_image(short, RATE_HZ, place="centre")
    trace = [image.reshape(128, 4, 128).mean(axis=(0, 1)) for image in (start, centre)]
    assert trace[0][:29].min() > 0
    assert trace[0][31:].max() == 0
    assert trace[1][:48].max() == trace[1][80:].max() == 0
    assert trace[1][50:78].min() > 0


def test_a_random_place_depends_only_on_the_seed():
    sound = tone(n_samples=3 * RATE_HZ)
    images = [mel_image(sound, RATE_HZ, place="random", seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_a_sound_at_another_rate_is_resampled():
    given = mel_image(tone(rate_hz=16_000, n_samples=32_000), 16_000)
    wanted = mel_image(tone(n_samples=88_200), RATE_HZ)
    middle = slice(4, 20)
    given, wanted = (image.reshape(128, 4, 128)[..., middle] for image in (given, wanted))
    assert np.abs(given - wanted)[wanted > 0.3].max() < 0.02


@pytest.mark.parametrize("n_samples", [1, 2, 700, 5000])
def test_short_sounds_are_reflected_as_often_as_it_takes(n_samples):
    waveform = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    padded = np.pad(waveform, 1024, mode="reflect")
    wanted = torch.from_numpy(padded).unfold(0, 2048, 512)
    found = spectrogram._frames(torch.from_numpy(waveform)[None])[0]
    assert torch.equal(found, wanted)


def test_levels():
    highest, loudness = level_db(tone(amplitude=0.1), RATE_HZ)
    assert highest == pytest.approx(-20.8, abs=0.1)
    assert loudness == pytest.approx(-20, abs=0.01)
    silent = level_db(np.zeros(100, np.float32), RATE_HZ)
    assert np.isfinite(silent).all()
    assert (silent < -90).all()
