"""Compare a recording's CLAP embedding by the audio encoder with that through SSV2A's fold and generator.

    uv run python bench/listen.py [N_SEEDS]

Measures the nine recordings of the farm with the mini bundle, unchanged and changed: the cosine of both embeddings with
that of the class, the share of recordings whose class is nearest, and, for unchanged recordings, the mean score of the
class in the sounds generated from both, over N_SEEDS (0 for no sounds).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from scipy.signal import resample_poly

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.mini.farm import CLASSES, SAMPLE_RATE_HZ, recording
from svdaudio.models.audioldm.autoencoder import decode
from svdaudio.models.audioldm.diffuse import diffuse
from svdaudio.models.audioldm.noise import joint_noise
from svdaudio.models.audioldm.settings import DiffusionSettings
from svdaudio.models.audioldm.vocoder import vocode

N_SAMPLES = 10 * SAMPLE_RATE_HZ
SETTINGS = DiffusionSettings(n_steps=20, guidance_scale=3.0, n_candidates=1)
MODELS = Models(Bundle.open("mini"), device="cpu", keep=True)


def noisy(sound: np.ndarray, ratio_db: float) -> np.ndarray:
    """A sound with white noise."""
    noise = np.random.default_rng(0).standard_normal(len(sound))
    return sound + noise * np.sqrt((sound**2).mean() / 10 ** (ratio_db / 10))


CHANGES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as it is": lambda sound, _: sound,
    "noise at -10 dB": lambda sound, _: noisy(sound, 10),
    "noise at 0 dB": lambda sound, _: noisy(sound, 0),
    "1.5 times as fast": lambda sound, _: resample_poly(sound, 2, 3),
    "1.5 times as slow": lambda sound, _: resample_poly(sound, 3, 2),
    "at -20 dB": lambda sound, _: sound / 10,
    "another animal at -6 dB": lambda sound, other: sound + other / 2,
}


def both(sound: np.ndarray) -> list[torch.Tensor]:
    """The encoder's embedding, and the one through the fold and the generator."""
    ssv2a, draws = MODELS["ssv2a"], torch.Generator().manual_seed(5)
    waveform = torch.from_numpy(np.resize(sound, N_SAMPLES).astype(np.float32))[None]
    plain = MODELS["audio_encoder"].embed(waveform, SAMPLE_RATE_HZ)
    return [plain[0], ssv2a.fold2claps(ssv2a.fold_claps(plain, generator=draws), generator=draws)[0]]


def score(clap: torch.Tensor, index: int, seed: int) -> float:
    """The score of a class in a sound generated from an embedding."""
    latents = diffuse(MODELS["diffuser"], clap, SETTINGS, noise=joint_noise(torch.Generator().manual_seed(seed)))
    waveforms = vocode(MODELS["vocoder"], decode(MODELS["autoencoder"], latents))
    return float(MODELS["tagger"].scores(waveforms, SAMPLE_RATE_HZ)[0, index])


def main(n_seeds: int = 2) -> None:
    """Print a table."""
    torch.set_num_threads(1)
    classes = MODELS["text_encoder"].embed(CLASSES)
    columns = (
        "recording",
        *(f"{what}: {form}" for what in ("cosine", "nearest", "score") for form in ("plain", "folded")),
    )
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for change, changed in CHANGES.items():
        rows: list[list[float]] = []
        for index, name in enumerate(CLASSES):
            other = np.resize(recording(CLASSES[(index + 4) % len(CLASSES)]), N_SAMPLES)
            claps = both(changed(np.resize(recording(name), N_SAMPLES), other))
            cosines = [classes @ clap for clap in claps]
            rows.append([*(float(one[index]) for one in cosines), *(float(one.argmax() == index) for one in cosines)])
            if change == "as it is" and n_seeds:
                rows[-1] += [float(np.mean([score(clap, index, seed) for seed in range(n_seeds)])) for clap in claps]
        print(f"| {change} | {' | '.join(f'{value:.3f}' for value in np.mean(rows, 0))} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
