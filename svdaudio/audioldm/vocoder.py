"""AudioLDM's vocoder on transformers' `SpeechT5HifiGan`: log-mel [frames, 64] to 160 samples a frame at 16 kHz."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from svdaudio.audioldm.mel import HOP_LENGTH
from svdaudio.weights import load_module


def build_vocoder(config: Mapping[str, Any]) -> SpeechT5HifiGan:
    """The network from the keyword arguments of transformers' configuration class, without weight norm."""
    return SpeechT5HifiGan(SpeechT5HifiGanConfig(**config))


def load_vocoder(path: Path, device: str | torch.device = "cpu") -> SpeechT5HifiGan:
    """A vocoder from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not fit its own description.
    """
    return load_module(path, role="vocoder", build=build_vocoder, device=device)[0]


@torch.inference_mode()
def vocode(vocoder: SpeechT5HifiGan, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
    """Waveforms at 16 kHz, exactly 160 samples a frame: the network's output is a little longer and is cut."""
    device = next(vocoder.parameters()).device
    n_samples = mel.shape[1] * HOP_LENGTH
    return torch.cat([vocoder(one[None].to(device))[:, :n_samples].cpu() for one in mel])
