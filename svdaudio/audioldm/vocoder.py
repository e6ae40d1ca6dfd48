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
from svdaudio.weights import load_weights


def build_vocoder(config: Mapping[str, Any]) -> SpeechT5HifiGan:
    """The network from the keyword arguments of transformers' configuration class, weight norm still on."""
    return SpeechT5HifiGan(SpeechT5HifiGanConfig(**config))


def load_vocoder(path: Path, device: torch.device) -> SpeechT5HifiGan:
    """Load a weight file of this project, in eval mode, weight norm folded into the weights."""
    state, header = load_weights(path, role="vocoder")
    model = build_vocoder(header.config)
    model.remove_weight_norm()
    model.load_state_dict(state)
    return model.eval().to(device)


@torch.inference_mode()
def vocode(vocoder: SpeechT5HifiGan, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
    """Waveforms at 16 kHz, exactly 160 samples a frame: the network's output is a little longer and is cut."""
    device = next(vocoder.parameters()).device
    n_samples = mel.shape[1] * HOP_LENGTH
    return torch.cat([vocoder(one[None].to(device))[:, :n_samples].cpu() for one in mel])
