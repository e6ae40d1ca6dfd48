"""Compare samplers with 200 steps of DDIM: similarity of the sounds, and time, with the mini bundle.

Every seed has one of the nine animals as its condition. Sounds of different samplers start from the same noise; DDIM
draws more noise at every step, so two of its results differ even if both are good. The row "another seed" shows the
size of such a difference: the same animal, 200 steps, another seed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.models.audioldm.autoencoder import decode
from svdaudio.models.audioldm.diffuse import diffuse
from svdaudio.models.audioldm.mel import SAMPLE_RATE_HZ
from svdaudio.models.audioldm.noise import joint_noise
from svdaudio.models.audioldm.settings import DiffusionSettings, Precision
from svdaudio.models.audioldm.vocoder import vocode


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """One sampler with its settings."""

    name: str
    scheduler: str
    n_steps: int
    precision: Precision = "float32"


REFERENCE = Sampler(name="ddim 200", scheduler="ddim", n_steps=200)
OTHERS = (
    Sampler(name="ddim 25", scheduler="ddim", n_steps=25),
    Sampler(name="ddim 20", scheduler="ddim", n_steps=20),
    Sampler(name="dpm-solver++ 25", scheduler="dpm-solver++", n_steps=25),
    Sampler(name="dpm-solver++ 20", scheduler="dpm-solver++", n_steps=20),
    Sampler(name="dpm-solver++ 20, bfloat16", scheduler="dpm-solver++", n_steps=20, precision="bfloat16"),
)


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """One sound per seed."""

    mel: Tensor
    clap: Tensor
    seconds: float
    """Processor time of the diffusion alone."""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--duration", type=float, default=5.0, help="seconds of each sound")
    options.add_argument("--guidance", type=float, help="default: that of the mini bundle")
    given = options.parse_args()
    torch.set_num_threads(1)  # processor time is then independent of other processes
    bundle = Bundle.open("mini")
    guidance = given.guidance or float(bundle.settings["generate.guidance_scale"])
    models = Models(bundle, device="cpu", keep=True)
    targets = models["audio_encoder"]._network.text[:-1]  # noqa: SLF001 - the class vectors that it was trained with
    targets = torch.stack([targets[seed % len(targets)] for seed in range(given.seeds)])

    def run(sampler: Sampler) -> Sounds:
        return sounds(models, targets, sampler, duration_s=given.duration, guidance_scale=guidance)

    reference = run(REFERENCE)
    order = torch.arange(given.seeds)
    n_classes = len(models["audio_encoder"]._network.text) - 1  # noqa: SLF001 - as above
    # the next seed with the same animal, cyclically
    pairs = torch.stack([order, torch.where(order + n_classes < given.seeds, order + n_classes, order % n_classes)])
    pairs = pairs[:, pairs[0] != pairs[1]]
    print(
        "| sampler | cosine with the target | cosine with 200 steps | log-mel distance to 200 steps "
        "| time relative to 200 steps |"
    )
    print("|---|---|---|---|---|")
    show(REFERENCE.name, spread(cosine(reference.clap, targets)), "1", "0", 1.0)
    again = (reference.clap[pairs[0]], reference.clap[pairs[1]]), (reference.mel[pairs[0]], reference.mel[pairs[1]])
    show("ddim 200, another seed", "", spread(cosine(*again[0])), spread(distance(*again[1])), None)
    for sampler in OTHERS:
        result = run(sampler)
        show(
            sampler.name,
            spread(cosine(result.clap, targets)),
            spread(cosine(result.clap, reference.clap)),
            spread(distance(result.mel, reference.mel)),
            result.seconds / reference.seconds,
        )
    print(f"\n{reference.seconds / given.seeds:.1f} s of processor time a sound with 200 steps")


def sounds(models: Models, targets: Tensor, sampler: Sampler, *, duration_s: float, guidance_scale: float) -> Sounds:
    """A sound for each target embedding, seeded by its row."""
    begun = time.process_time()
    latents = torch.cat(
        [
            diffuse(
                models["diffuser"],
                clap,
                DiffusionSettings(
                    scheduler=sampler.scheduler,
                    n_steps=sampler.n_steps,
                    guidance_scale=guidance_scale,
                    n_candidates=1,
                    duration_s=duration_s,
                    precision=sampler.precision,
                ),
                noise=joint_noise(torch.Generator().manual_seed(seed)),
            )
            for seed, clap in enumerate(targets)
        ]
    )
    seconds = time.process_time() - begun
    mel = decode(models["autoencoder"], latents)
    encoder: Any = models["audio_encoder"]
    return Sounds(mel=mel, clap=encoder.embed(vocode(models["vocoder"], mel), SAMPLE_RATE_HZ), seconds=seconds)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of unit vectors, row by row."""
    return (one * other).sum(dim=1)


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Root of the mean squared difference, sound by sound, in units of the natural logarithm."""
    return (one - other).square().mean(dim=(1, 2)).sqrt()


def spread(values: Tensor) -> str:
    """Mean and its standard error."""
    return f"{float(values.mean()):.3f} ± {float(values.std()) / len(values) ** 0.5:.3f}"


def show(name: str, *columns: str | float | None) -> None:
    """Print one row."""
    texts = ["" if c is None else c if isinstance(c, str) else f"{c:.3f}" for c in columns]
    print(f"| {name} | {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    main()
