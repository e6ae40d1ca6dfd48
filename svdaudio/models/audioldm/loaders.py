"""Loads AudioLDM's networks from either published form, with quick copies.

`svdaudio.models.audioldm.published` reads both forms. Finding a network's tensors among thousands, renaming them,
and, for the noise network, running the text branch on the empty text is done once; the result is kept under the file's
digest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from svdaudio.errors import CheckpointError
from svdaudio.models.audioldm import published
from svdaudio.models.audioldm.architecture import AUDIOLDM_S_FULL_V2, Architecture
from svdaudio.models.audioldm.autoencoder import AutoencoderKL, build_autoencoder
from svdaudio.models.audioldm.clap import ClapAudioEncoder, ClapTextEncoder, build_audio_network, build_text_network
from svdaudio.models.audioldm.diffuser import Diffuser
from svdaudio.models.audioldm.vocoder import build_vocoder
from svdaudio.weights import quick_copy

if TYPE_CHECKING:
    from transformers import SpeechT5HifiGan

M = TypeVar("M", bound=nn.Module)


def load_diffuser(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    digest: str | None = None,
    architecture: Architecture = AUDIOLDM_S_FULL_V2,
) -> Diffuser:
    """Load the noise network and the embedding of the empty text.

    Args:
        path: the authors' `.ckpt`, or the diffusers folder.
        device: target device.
        digest: sha256 of the file or folder at `path`, if it has been checked; then a quick copy is kept next to it.
        architecture: of the `.ckpt`, if it has another size.

    Raises:
        CheckpointError: a tensor is missing, unknown, or of the wrong shape.
    """

    def read() -> published.Weights:
        return published.read_diffuser(published.open_published(path, architecture=architecture))

    return _load("diffuser", Diffuser, path, device, digest, read)


def load_autoencoder(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    digest: str | None = None,
    architecture: Architecture = AUDIOLDM_S_FULL_V2,
) -> AutoencoderKL:
    """Load the VAE; see `load_diffuser`."""

    def read() -> published.Weights:
        return published.open_published(path, architecture=architecture).autoencoder()

    return _load("autoencoder", build_autoencoder, path, device, digest, read)


def load_vocoder(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    digest: str | None = None,
    architecture: Architecture = AUDIOLDM_S_FULL_V2,
) -> SpeechT5HifiGan:
    """Load the HiFi-GAN; see `load_diffuser`."""

    def read() -> published.Weights:
        return published.open_published(path, architecture=architecture).vocoder()

    return _load("vocoder", build_vocoder, path, device, digest, read)


def load_audio_encoder(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    digest: str | None = None,
    architecture: Architecture = AUDIOLDM_S_FULL_V2,
) -> ClapAudioEncoder:
    """Load CLAP's audio branch, which the published diffusers folder lacks; see `load_diffuser`."""

    def read() -> published.Weights:
        return published.open_published(path, architecture=architecture).audio()

    return ClapAudioEncoder(_load("audio_encoder", build_audio_network, path, device, digest, read))


def load_text_encoder(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> ClapTextEncoder:
    """Load CLAP's text branch and RoBERTa's tokenizer from the diffusers folders `text_encoder` and `tokenizer`.

    Args:
        path: the folder that contains both.
        device: target device.
        digest: not needed: safetensors are mapped directly.

    Raises:
        CheckpointError: a tensor is missing, unknown, or of the wrong shape; or the tokenizer is missing.
    """
    del digest
    source = published.DiffusersFolder(path)
    tokenizer = source.tokenizer()
    if tokenizer is None:
        raise CheckpointError(
            f"the folder {path} has no tokenizer", expected="tokenizer/", fix="fetch audioldm-s-full-v2-text again"
        )
    network: Any = published.fill(build_text_network, source.text(), path)
    return ClapTextEncoder(network.to(torch.device(device)), tokenizer)


def _load(
    role: str,
    build: Callable[[dict[str, Any]], M],
    path: Path,
    device: str | torch.device,
    digest: str | None,
    read: Callable[[], published.Weights],
) -> M:
    def convert() -> quick_copy.Weights:
        weights = read()
        # In the network's own precision, so that the copy can be mapped directly.
        tensors = {name: t.float() if t.is_floating_point() else t for name, t in weights.state.items()}
        return quick_copy.Weights(tensors=tensors, facts={"config": weights.config})

    kept = quick_copy.cached(path, name=role, digest=digest, read=convert)
    weights = published.Weights(dict(kept.facts["config"]), dict(kept.tensors))
    model: Any = published.fill(build, weights, path)
    return model.to(torch.device(device))
