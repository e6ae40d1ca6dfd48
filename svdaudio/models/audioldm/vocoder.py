"""The vocoder: log-mel [frames, 64] to 160 samples per frame at 16 kHz.

AudioLDM uses transformers' `SpeechT5HifiGan`, the mini bundle `svdaudio.models.audioldm.magnitude_vocoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from svdaudio.errors import CheckpointError
from svdaudio.models.audioldm.magnitude_vocoder import MagnitudeVocoder
from svdaudio.models.audioldm.mel import HOP_LENGTH
from svdaudio.process_state import kept_process_state
from svdaudio.weights.own import load_module, load_weights

if TYPE_CHECKING:
    from transformers import SpeechT5HifiGan


def build_vocoder(config: Mapping[str, Any]) -> SpeechT5HifiGan:
    """Build the network from the keyword arguments of transformers' configuration class, without weight norm."""
    with kept_process_state():  # imported here, since it takes half a second that the mini bundle does not need
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig
    return SpeechT5HifiGan(SpeechT5HifiGanConfig(**config))


ARCHITECTURES: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "transformers.SpeechT5HifiGan": build_vocoder,
    "svdaudio.audioldm.MagnitudeVocoder": lambda config: MagnitudeVocoder(**config),
}
"""Architecture name in a weight file → its builder. The names are part of the file format, not module paths."""


def load_vocoder(path: Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a vocoder from a weight file of this project, with the architecture that the file names.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    architecture = load_weights(path, role="vocoder")[1].architecture
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"unknown architecture of the checkpoint {path}",
            expected=" or ".join(ARCHITECTURES),
            got=architecture,
        )
    return load_module(path, role="vocoder", build=ARCHITECTURES[architecture], device=device)[0]


@torch.inference_mode()
def vocode(vocoder: nn.Module, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
    """Waveforms at 16 kHz, exactly 160 samples per frame: any extra samples are cut."""
    device = next(chain(vocoder.parameters(), vocoder.buffers())).device
    n_samples = mel.shape[1] * HOP_LENGTH
    return torch.cat([vocoder(one[None].to(device))[:, :n_samples].cpu() for one in mel])
