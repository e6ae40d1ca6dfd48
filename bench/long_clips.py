"""Compare two ways to sounds longer than the ten seconds of the training: one long latent, and windows.

Both make the sound of the demo's edited picture with the mini bundle. "one latent" is the way of `generate.duration_s`;
"windows" are sounds of 10.24 s with their own noise, crossfaded over a second at equal power. A seam would show as a
jump of the log-mel spectrogram at a border of two windows: the distance of the mean spectra of the half seconds before
and after it, as a share of the median of that distance everywhere.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.models.audioldm.backends import open_backend
from svdaudio.models.audioldm.mel import log_mel
from svdaudio.models.audioldm.noise import candidate_noise
from svdaudio.models.audioldm.settings import DiffusionSettings
from svdaudio.session import Session
from svdaudio.sounds.rates import VOCODER_RATE_HZ
from svdaudio.studies.scenes import demo_scene

WINDOW_S, FADE_S, HALF_S, STRETCH_S = 10.24, 1.0, 0.5, 5.12
FRAMES_PER_SECOND = 100


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--store", default=None)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--durations", type=float, nargs="+", default=[10.24, 28.72, 56.2])
    chosen = options.parse_args()
    torch.set_num_threads(1)
    session, models = Session(chosen.store), Models(Bundle.open("mini"), device="cpu")
    request = session.request("baseline", [demo_scene().edited], targets=("original.remix",))
    run = session.run(request, record=False).run
    clap = torch.from_numpy(np.array(session.arrays(run)["original.remix"]["clap"]))
    print(
        "| length, s | form | jump at borders | processor s per second of sound | least score of duck, dog "
        "| highest of any other |"
    )
    print("|---|---|---|---|---|---|")
    for duration_s in chosen.durations:
        for name, make in (("one latent", _one), ("windows", _windows)):
            begun = time.process_time()
            sounds = [make(models, clap, duration_s, seed) for seed in range(chosen.seeds)]
            cost = (time.process_time() - begun) / chosen.seeds / duration_s
            jumps = [jump for sound in sounds for jump in _jumps(sound)]
            jump = f"{np.mean(jumps):.2f} ± {np.std(jumps) / len(jumps) ** 0.5:.2f}" if jumps else ""
            duck, dog, other = _scores(models, torch.stack(sounds))
            print(
                f"| {duration_s:g} | {name} | {jump} | {cost:.2f} | {duck:.2f}, {dog:.2f} | {other:.2f} |", flush=True
            )


def _one(models: Models, clap: Tensor, duration_s: float, seed: int) -> Tensor:
    settings = DiffusionSettings(n_steps=20, guidance_scale=3.0, n_candidates=1, duration_s=duration_s)
    backend = open_backend("diffusers")
    latents = backend.diffuse(models["diffuser"], clap, settings, noise=candidate_noise(seed, [0]))
    sound = backend.vocode(models["vocoder"], backend.decode(models["autoencoder"], latents))[0]
    return sound[: round(duration_s * VOCODER_RATE_HZ)]


def _windows(models: Models, clap: Tensor, duration_s: float, seed: int) -> Tensor:
    n_faded = round(FADE_S * VOCODER_RATE_HZ)
    rising = torch.sin(torch.linspace(0, torch.pi / 2, n_faded))
    sound = _one(models, clap, WINDOW_S, seed)
    for number in range(1, round((duration_s - FADE_S) / (WINDOW_S - FADE_S))):
        following = _one(models, clap, WINDOW_S, 1000 * number + seed)
        middle = sound[-n_faded:] * rising.flip(0) + following[:n_faded] * rising
        sound = torch.cat([sound[:-n_faded], middle, following[n_faded:]])
    return sound


def _jumps(sound: Tensor) -> list[float]:
    """The jump at each border between two windows within the sound."""
    mel: NDArray[np.float32] = log_mel(sound[None] / sound.abs().max())[0].numpy()
    half = round(HALF_S * FRAMES_PER_SECOND)
    means = np.stack([mel[start : start + half].mean(axis=0) for start in range(len(mel) - half)])
    distances = np.sqrt(((means[half:] - means[:-half]) ** 2).mean(axis=1))  # at the frame `half` further on
    step = WINDOW_S - FADE_S
    borders = [round((step * number + FADE_S / 2) * FRAMES_PER_SECOND) - half for number in range(1, 10)]
    return [float(distances[at] / np.median(distances)) for at in borders if at < len(distances) - half]


def _scores(models: Models, sounds: Tensor) -> tuple[float, float, float]:
    """Over stretches of `STRETCH_S`, averaged over seeds: least scores of duck and dog, greatest of other classes."""
    classes = list(models.bundle.classes("tagger"))
    n_samples = round(STRETCH_S * VOCODER_RATE_HZ)
    stretches = [sounds[:, at : at + n_samples] for at in range(0, sounds.shape[1] - n_samples + 1, n_samples)]
    scores = torch.stack([models["tagger"].scores(one, VOCODER_RATE_HZ).mean(dim=0) for one in stretches])
    duck, dog = (classes.index(name) for name in ("duck", "dog"))
    others = [index for index in range(len(classes)) if index not in (duck, dog)]
    return float(scores[:, duck].min()), float(scores[:, dog].min()), float(scores[:, others].max())


if __name__ == "__main__":
    main()
