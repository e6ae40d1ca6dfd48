"""The sound encoder's input: a mel image of 128 x 512 values, made of a mel spectrogram in decibels.

The steps are those of Sound-Guided Semantic Image Manipulation (Lee et al. 2022; kuai-lab/sound-guided-semantic-image-
manipulation at dfba091, soundclip/curate.py and datasets.py): 128 Slaney mel bands of power in decibels and 864 frames
are stretched to 512 rows, squeezed to 128 columns, and read line by line as 128 rows of 512. Frequency thus stays
vertical, and the time axis is repeated four times along each row.

Presets:
    published: the maximum of the sound is subtracted, so that quiet and loud copies look the same.
    corrected: `REFERENCE_DB` is subtracted instead, so that the level stays visible.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.functional import melscale_fbanks, resample

SAMPLE_RATE_HZ = 44_100
N_FFT = 2048
HOP_LENGTH = 512
N_MELS = 128
N_FRAMES = 864
"""Frames of an image: 10.03 s."""
N_ROWS, N_COLUMNS = 128, 512
"""Shape of an image."""
LEAST_POWER = 1e-10
RANGE_DB = 80.0
"""Power this far below the reference is 0 in the image; the reference is 1."""
REFERENCE_DB = 40.0
"""Mel power that is 1 in the corrected preset: about that of a sine of amplitude 1 in narrow bands (39.8 dB at 280 Hz,
39.2 dB at 1 kHz). Higher power is clipped."""

_FRAMES_AT_ONCE = 64
_KAISER_WIDTH, _KAISER_ROLLOFF, _KAISER_BETA = 64, 0.9475937167399596, 14.769656459379492
"""torchaudio's arguments for resampy's filter `kaiser_best`, which the published code resamples with."""

Preset = Literal["corrected", "published"]
Place = Literal["start", "centre", "random"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
PLACES: tuple[Place, ...] = get_args(Place)


def mel_image(
    waveform: Float[NDArray[np.float32], " sample"],
    sample_rate_hz: int,
    *,
    preset: Preset = "corrected",
    place: Place = "start",
    seed: int = 0,
) -> Float[NDArray[np.float32], "1 128 512"]:
    """The mel image of a sound of any length and sample rate, 0..1.

    Args:
        waveform: -1..1, at least one sample.
        sample_rate_hz: of the waveform; resampled to 44.1 kHz.
        preset: see the module.
        place: see `first_frames`.
        seed: of the random place.
    """
    sound = at_rate(waveform, sample_rate_hz)
    return mel_images(sound[None], preset=preset, place=place, random=np.random.default_rng(seed))[0].numpy()


def mel_images(
    waveforms: Float[Tensor, "batch sample"],
    *,
    preset: Preset = "corrected",
    place: Place = "start",
    random: np.random.Generator | None = None,
) -> Float[Tensor, "batch 1 128 512"]:
    """Mel images of sounds of one length at 44.1 kHz, 0..1.

    In the corrected preset, only the 256 frames that the resize uses are computed.

    Args:
        waveforms: -1..1.
        preset: see the module.
        place: see `first_frames`.
        random: draws a random place for each sound; only needed for `place="random"`.
    """
    frames = _frames(waveforms)
    n_frames = frames.shape[1]
    taps, weights = _columns()
    indices = first_frames(len(waveforms), n_frames, place=place, random=random)[:, None] + taps
    sounds, within = torch.arange(len(waveforms))[:, None], indices.clamp(0, n_frames - 1)
    if preset == "published":
        every = _mel_power_db(frames)
        power_db, reference = every[sounds, within], every.amax(dim=(1, 2), keepdim=True)
    else:
        power_db, reference = _mel_power_db(frames[sounds, within]), REFERENCE_DB
    values = ((power_db - reference) / RANGE_DB + 1).clamp(0, 1)
    values = values * (indices == within)[:, :, None]
    bands = _bilinear(N_MELS, N_COLUMNS) @ values.transpose(1, 2)
    return (bands @ weights).reshape(len(waveforms), 1, N_ROWS, N_COLUMNS)


def level_db(waveform: Float[NDArray[np.float32], " sample"], sample_rate_hz: int) -> Float[NDArray[np.float32], "2"]:
    """The highest mel power and the loudness, both in dB, which the published preset discards.

    The first is relative to `REFERENCE_DB`. The second is the root mean square of the samples relative to that of a
    sine of amplitude 1.
    """
    sound = at_rate(waveform, sample_rate_hz)
    mean_square = max(sound.double().square().mean().item(), LEAST_POWER)
    highest = mel_power_db(sound[None]).max().item() - REFERENCE_DB
    return np.array([highest, 10 * math.log10(2 * mean_square)], np.float32)


def length_remarks(n_samples: int, sample_rate_hz: int, *, place: Place) -> list[str]:
    """Notes for the user about the length of a sound."""
    duration_s, seen_s = n_samples / sample_rate_hz, N_FRAMES * HOP_LENGTH / SAMPLE_RATE_HZ
    if duration_s <= seen_s:
        return []
    part = {"start": "the first {} s", "centre": "the {} s in the middle", "random": "{} s at a random place"}[place]
    return [f"the sound has {duration_s:.1f} s, of which {part.format(round(seen_s))} are heard"]


def at_rate(waveform: Float[NDArray[np.float32], " sample"], sample_rate_hz: int) -> Float[Tensor, " resampled"]:
    """A waveform at 44.1 kHz."""
    sound = torch.from_numpy(np.ascontiguousarray(waveform))
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return sound
    return resample(
        sound,
        sample_rate_hz,
        SAMPLE_RATE_HZ,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=_KAISER_WIDTH,
        rolloff=_KAISER_ROLLOFF,
        beta=_KAISER_BETA,
    )


def mel_power_db(waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch frame 128"]:
    """Mel power of 44.1 kHz sounds in decibels, one frame for each 512 samples, centred on them."""
    return _mel_power_db(_frames(waveforms))


def first_frames(
    n_sounds: int, n_frames: int, *, place: Place, random: np.random.Generator | None = None
) -> Int64[Tensor, "{n_sounds}"]:
    """Index of each sound's frame that is the first of its image; negative if zeros precede the sound.

    Args:
        n_sounds: how many sounds.
        n_frames: frames of each.
        place: "start" takes the beginning of a longer sound and appends zeros to a shorter one; "centre" cuts or pads
            both ends equally; "random" draws where the part of a longer sound, or the sound itself, begins.
        random: draws a random place for each sound.

    Raises:
        ValueError: `place` is "random" without `random`.
    """
    spare = n_frames - N_FRAMES
    sign = -1 if spare < 0 else 1
    if place == "random":
        if random is None:
            raise ValueError("a random place needs a generator")
        return sign * torch.from_numpy(random.integers(0, abs(spare) + 1, size=n_sounds))
    return torch.full((n_sounds,), sign * (abs(spare) // 2) if place == "centre" else 0)


@functools.cache
def mel_filters() -> Float[Tensor, "1025 128"]:
    """Slaney mel filters of unit area, 0..22 050 Hz."""
    return melscale_fbanks(
        N_FFT // 2 + 1, 0.0, SAMPLE_RATE_HZ / 2, N_MELS, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
    )


def _frames(waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch frame 2048"]:
    """A view of the sounds' frames.

    Both ends are padded by reflection, as in librosa 0.8; sounds shorter than half a frame are reflected repeatedly.
    """
    n, half = waveforms.shape[1], N_FFT // 2
    before, after = _reflected(torch.arange(-half, 0), n), _reflected(torch.arange(n, n + half), n)
    return torch.cat([waveforms[:, before], waveforms, waveforms[:, after]], dim=1).unfold(1, N_FFT, HOP_LENGTH)


def _mel_power_db(frames: Float[Tensor, "batch frame 2048"]) -> Float[Tensor, "batch frame 128"]:
    """Mel power of frames, a few at a time to save memory and time."""
    return torch.stack([torch.cat([_of_few(some) for some in sound.split(_FRAMES_AT_ONCE)]) for sound in frames])


def _of_few(frames: Float[Tensor, "frame 2048"]) -> Float[Tensor, "frame 128"]:
    spectrum = torch.fft.rfft(frames * _window())
    power = spectrum.real.square() + spectrum.imag.square()
    return 10 * (power @ mel_filters()).clamp(min=LEAST_POWER).log10()


@functools.cache
def _window() -> Tensor:
    """Periodic Hann window."""
    return torch.hann_window(N_FFT)


def _reflected(positions: Tensor, n: int) -> Tensor:
    """Indices of the samples at `positions` beyond the ends of `n` samples, by reflection without repeating the end."""
    folded = positions % max(2 * (n - 1), 1)
    return torch.where(folded < n, folded, 2 * (n - 1) - folded)


@functools.cache
def _bilinear(n_in: int, n_out: int) -> Float[Tensor, "{n_out} {n_in}"]:
    """Weights that resize `n_in` values to `n_out` by linear interpolation between two, without smoothing.

    Value i of the result lies at (i + 1/2) n_in / n_out - 1/2 in the input; the ends are held.
    """
    at = ((np.arange(n_out) + 0.5) * n_in / n_out - 0.5).clip(0, n_in - 1)
    left = np.minimum(at.astype(int), n_in - 2)
    weights = np.zeros((n_out, n_in))
    weights[np.arange(n_out), left] = 1 - (at - left)
    weights[np.arange(n_out), left + 1] = at - left
    return torch.from_numpy(weights).float()


@functools.cache
def _columns() -> tuple[Int64[Tensor, " tap"], Float[Tensor, "tap 128"]]:
    """Those of the 864 frames that the resize to 128 columns uses, and their weights."""
    weights = _bilinear(N_FRAMES, N_ROWS)
    taps = weights.any(dim=0).nonzero()[:, 0]
    return taps, weights[:, taps].T.contiguous()
