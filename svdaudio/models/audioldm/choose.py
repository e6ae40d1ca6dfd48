"""Step 8c: keeps the candidate whose CLAP embedding is nearest to the target.

Upstream ranks candidates by the empty text, so its choice is random; here they are ranked by the target.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from svdaudio.models.audioldm.mel import SAMPLE_RATE_HZ
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.sounds.scipy_parts import resample_poly


class AudioEncoder(Protocol):
    """Embeds sound in CLAP space."""

    def embed(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch 512"]:
        """Unit vectors."""
        ...


class Choice(NamedTuple):
    """The chosen sound."""

    waveform: Float[Tensor, "1 sample"]
    """At 22 050 Hz, exactly duration x 22 050 samples, peak below 1."""
    similarity: Float[Tensor, " candidate"]
    """Cosine of every candidate with the target embedding."""
    choice: Int[Tensor, ""]
    """Index of the chosen candidate."""


@torch.inference_mode()
def choose(
    encoder: AudioEncoder,
    waveforms: Float[Tensor, "candidate sample"],
    clap: Float[Tensor, "512"],
    *,
    duration_s: float,
) -> Choice:
    """Rank candidates at 16 kHz, and convert the best with `at_output_rate`."""
    similarity = (encoder.embed(waveforms, SAMPLE_RATE_HZ).cpu() @ clap.cpu()).float()
    best = similarity.argmax()
    waveform = at_output_rate(waveforms[best], duration_s=duration_s)
    return Choice(waveform=waveform, similarity=similarity, choice=best)


def at_output_rate(waveform: Float[Tensor, " sample"], *, duration_s: float) -> Float[Tensor, "1 longer"]:
    """A candidate at 22 050 Hz, cut to length. Peaks above 0.99 are scaled down, never clipped."""
    resampled = torch.from_numpy(resample_poly(waveform.double().numpy(), OUTPUT_RATE_HZ // 50, SAMPLE_RATE_HZ // 50))
    n_samples = round(duration_s * OUTPUT_RATE_HZ)
    cut = resampled[:n_samples].float()
    return (cut / max(1.0, float(cut.abs().max()) / 0.99))[None]
