"""The mini bundle's audio encoder, text encoder and tagger, with the interfaces that all bundles share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torchaudio.functional import resample

from svdaudio.config import check_text
from svdaudio.errors import CheckpointError
from svdaudio.models.audioldm.mel import SAMPLE_RATE_HZ, log_mel
from svdaudio.models.mel_cnn.networks import AudioEmbedder, TaggerNetwork
from svdaudio.models.taggers.scores import Hearing
from svdaudio.weights.own import Header, load_module


class MiniAudioEncoder:
    """CLAP-mini: embeds sounds as unit vectors of 512 numbers."""

    def __init__(self, network: AudioEmbedder) -> None:
        self._network = network

    @torch.inference_mode()
    def embed(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch 512"]:
        """Unit vectors of sounds at any sample rate."""
        return self._network(_mel(waveforms, sample_rate_hz, self._network.text.device))


class MiniTextEncoder:
    """CLAP-mini's text encoder: a table of embeddings of class names.

    Args:
        network: holds the table.
        classes: the texts that have an embedding.
    """

    def __init__(self, network: AudioEmbedder, classes: tuple[str, ...]) -> None:
        self._table = network.text
        self.classes = classes

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "batch 512"]:
        """Unit vectors of texts.

        Raises:
            ConfigError: a text is not the name of a class.
        """
        for text in texts:
            check_text(text, self.classes)
        return self._table[[self.classes.index(text) for text in texts]]


class MiniTagger:
    """The tagger: scores for nine farm animals."""

    def __init__(self, network: TaggerNetwork, classes: tuple[str, ...]) -> None:
        self._network = network
        self.classes = classes

    @torch.inference_mode()
    def scores(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch class"]:
        """Score of each class, independently 0..1."""
        device = next(self._network.parameters()).device
        return self._network(_mel(waveforms, sample_rate_hz, device)).sigmoid().cpu()

    @torch.inference_mode()
    def hear(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Hearing:
        """Logits, and the mean over time of the 128 features that they are computed from."""
        device = next(self._network.parameters()).device
        features = self._network.features(_mel(waveforms, sample_rate_hz, device))
        return Hearing(logits=self._network.pool(features).cpu(), embedding=features.mean(dim=2).cpu())


def _mel(waveforms: Tensor, sample_rate_hz: int, device: torch.device) -> Tensor:
    if sample_rate_hz != SAMPLE_RATE_HZ:
        waveforms = resample(waveforms, sample_rate_hz, SAMPLE_RATE_HZ)
    return log_mel(waveforms.float()).to(device)


def load_audio_encoder(path: Path, device: str | torch.device = "cpu") -> MiniAudioEncoder:
    """Load an audio encoder from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    network, _ = load_module(path, role="audio_encoder", build=lambda config: AudioEmbedder(**config), device=device)
    return MiniAudioEncoder(network)


def load_text_encoder(path: Path, device: str | torch.device = "cpu") -> MiniTextEncoder:
    """Load the table of texts from the weight file of an audio encoder.

    Raises:
        CheckpointError: as `load_audio_encoder`, or it does not name its classes.
    """
    network, header = load_module(
        path, role="audio_encoder", build=lambda config: AudioEmbedder(**config), device=device
    )
    return MiniTextEncoder(network, _classes(header, path))


def load_tagger(path: Path, device: str | torch.device = "cpu") -> MiniTagger:
    """Load a tagger from a weight file of this project.

    Raises:
        CheckpointError: as `load_audio_encoder`, or it does not name its classes.
    """
    network, header = load_module(path, role="tagger", build=lambda config: TaggerNetwork(**config), device=device)
    return MiniTagger(network, _classes(header, path))


def _classes(header: Header, path: Path) -> tuple[str, ...]:
    if not header.extra.get("classes"):
        raise CheckpointError(f"the checkpoint {path} does not name its classes", expected="extra classes")
    return tuple(header.extra["classes"])
