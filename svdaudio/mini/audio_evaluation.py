"""Held-out figures of the models for sound: tagger, VAE, vocoder, and the whole path from a picture to its sound.

Held out are mixtures, their times, gains, speeds and noise, and for pictures everything that `vision_evaluation`
holds out. Intervals are 95 % bootstrap intervals over sounds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svdaudio.checkpoints.models import Models
from svdaudio.engine.in_memory import compute
from svdaudio.engine.stage import by_name
from svdaudio.figures import Figure, at_least, mean_figure
from svdaudio.methods.parts import SoundConfig, encode_picture, plain_sound
from svdaudio.mini import farm, soundscapes
from svdaudio.mini.spectral import stft_distance
from svdaudio.mini.vision_evaluation import held_out_classes
from svdaudio.models.audioldm.autoencoder import load_autoencoder, reconstruct
from svdaudio.models.audioldm.griffin_lim import griffin_lim, pseudo_inverse
from svdaudio.models.audioldm.mel import SAMPLE_RATE_HZ, log_mel
from svdaudio.models.audioldm.vocoder import load_vocoder, vocode
from svdaudio.models.mel_cnn.loaders import load_tagger

HELD_OUT_SEED = 953_001
N_CLASSES = len(farm.CLASSES)
N_SOUNDS = 24


def held_out_soundscapes(
    seed: int, n: int, *, n_animals: int | None = None, duration_s: float = 10.24
) -> list[soundscapes.Soundscape]:
    """Soundscapes that no model was trained on. With one animal each, the classes take turns.

    Args:
        seed: identifies the set.
        n: number of soundscapes.
        n_animals: number of animals in each; one to three at random if None.
        duration_s: of each.
    """
    rng = np.random.default_rng((HELD_OUT_SEED, seed))
    return [
        soundscapes.compose(rng, classes=[index % N_CLASSES], duration_s=duration_s)
        if n_animals == 1
        else soundscapes.compose(rng, n_animals=n_animals, duration_s=duration_s)
        for index in range(n)
    ]


def _sounds(
    seed: int, n: int, *, n_animals: int | None = None, duration_s: float = 10.24
) -> tuple[Tensor, NDArray[np.bool_]]:
    """Held-out soundscapes [n, samples], and which animals are in each, [n, 9]."""
    scenes = held_out_soundscapes(seed, n, n_animals=n_animals, duration_s=duration_s)
    return torch.from_numpy(np.stack([s.waveform for s in scenes])), np.stack([s.shares for s in scenes]) > 0


def tagger_figures(path: Path, *, n_sounds: int = 180) -> tuple[Figure, ...]:
    """How often the top class of a single animal is right, and both animals of a mixture score above one half."""
    tagger = load_tagger(path)
    single, single_truth = _sounds(0, n_sounds, n_animals=1)
    pair, pair_truth = _sounds(1, n_sounds, n_animals=2)
    single_scores, pair_scores = (tagger.scores(each, SAMPLE_RATE_HZ).numpy() for each in (single, pair))
    right = single_scores.argmax(axis=1) == single_truth.argmax(axis=1)
    found = ((pair_scores > 0.5) | ~pair_truth).all(axis=1)
    alarms = ((pair_scores > 0.5) & ~pair_truth).sum(axis=1)
    return (
        mean_figure("tagger, one animal: top class is right", right.astype(float).tolist(), goal=at_least(0.97)),
        mean_figure("tagger, two animals: both found", found.astype(float).tolist(), goal=at_least(0.90)),
        mean_figure("tagger, two animals: others heard besides, per mixture", alarms.astype(float).tolist()),
    )


def autoencoder_figures(path: Path, *, n_sounds: int = N_SOUNDS) -> tuple[Figure, ...]:
    """Errors of the VAE on held-out soundscapes: of their log-mel, and of their sound by Griffin-Lim."""
    waveforms, mels = _spectrograms(n_sounds)
    again = reconstruct(load_autoencoder(path), mels)
    return (
        mean_figure("VAE: log-mel error", (again - mels).abs().mean(dim=(1, 2)).tolist()),
        *_nearness("VAE, then Griffin-Lim", _griffin_lim(again), waveforms, mels),
        *_nearness("Griffin-Lim", _griffin_lim(mels), waveforms, mels),
    )


def vocoder_figures(autoencoder_path: Path, vocoder_path: Path, *, n_sounds: int = N_SOUNDS) -> tuple[Figure, ...]:
    """Errors of the vocoder on held-out soundscapes, and those of Griffin-Lim on the pseudo-inverse."""
    waveforms, mels = _spectrograms(n_sounds)
    vocoder, again = load_vocoder(vocoder_path), reconstruct(load_autoencoder(autoencoder_path), mels)
    return (
        *_nearness("vocoder", vocode(vocoder, mels), waveforms, mels),
        *_nearness("Griffin-Lim", _griffin_lim(mels), waveforms, mels),
        *_nearness("VAE and vocoder", vocode(vocoder, again), waveforms, mels),
    )


def _spectrograms(n: int) -> tuple[Tensor, Tensor]:
    """Soundscapes [n, samples] and their log-mel spectrograms."""
    waveforms, _ = _sounds(2, n, duration_s=5.12)
    return waveforms, log_mel(waveforms)


def _griffin_lim(mels: Tensor) -> Tensor:
    return griffin_lim(pseudo_inverse(mels))


def _nearness(name: str, made: Tensor, waveforms: Tensor, mels: Tensor) -> tuple[Figure, Figure]:
    """Distances of sounds from their targets."""
    distances = [float(stft_distance(a[None], b[None])) for a, b in zip(made, waveforms, strict=True)]
    return (
        mean_figure(f"{name}: multi-resolution STFT distance", distances),
        mean_figure(f"{name}: log-mel error", (log_mel(made) - mels).abs().mean(dim=(1, 2)).tolist()),
    )


def hearing_figures(models: Models, config: SoundConfig, *, n_pictures: int = 45) -> tuple[Figure, ...]:
    """How often the sound of a held-out picture of one animal, by plain SSV2A, has it as the tagger's top class."""
    pictures = {
        str(index): held_out_classes(index, classes=[index % N_CLASSES], size=448) for index in range(n_pictures)
    }
    nodes = by_name(node for name in pictures for node in (*encode_picture(name), *plain_sound(name, config)))
    given = {f"{name}.image": {"pixels": each.pixels} for name, each in pictures.items()}
    arrays = compute([f"{name}.scores" for name in pictures], nodes, config, models, given=given)
    right = [int(arrays[f"{name}.scores"]["scores"].argmax()) == each.classes[0] for name, each in pictures.items()]
    return (
        mean_figure(
            "picture of one animal → sound: top class is that animal", [float(r) for r in right], goal=at_least(0.95)
        ),
    )
