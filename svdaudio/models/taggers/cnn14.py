"""PANNs' Cnn14 (Kong et al. 2020, arXiv 1912.10211): ten seconds at 32 kHz as scores of 527 AudioSet classes.

Implemented from the paper and the entries of the published file `Cnn14_mAP=0.431.pth`, which also holds the spectrogram
as convolutions and the mel filters as a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import resample

from svdaudio.errors import CheckpointError
from svdaudio.models.taggers.audioset import N_CLASSES, audioset_names, score_names
from svdaudio.models.taggers.scores import Hearing
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import fill, names, read_plain
from svdaudio.weights.torch_files import is_archive

SAMPLE_RATE_HZ = 32_000
N_FFT = 1024
HOP_LENGTH = 320
N_MELS = 64  # 50 to 14 000 Hz
FLOOR = 1e-10
WIDTHS = (1, 64, 128, 256, 512, 1024, 2048)
MIN_SAMPLES = 32 * HOP_LENGTH  # five halvings need 32 frames


class _Fourier(nn.Module):
    """The Fourier transform of each frame as two convolutions, with the window in their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_real = nn.Conv1d(1, N_FFT // 2 + 1, N_FFT, HOP_LENGTH, bias=False)
        self.conv_imag = nn.Conv1d(1, N_FFT // 2 + 1, N_FFT, HOP_LENGTH, bias=False)


class _Spectrogram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stft = _Fourier()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Power, [batch, bin, frame]; frames are centred, and the ends are padded by reflection."""
        padded = functional.pad(waveforms.unsqueeze(1), (N_FFT // 2, N_FFT // 2), mode="reflect")
        return self.stft.conv_real(padded) ** 2 + self.stft.conv_imag(padded) ** 2


class _LogMel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.empty(N_FFT // 2 + 1, N_MELS))

    def forward(self, power: Tensor) -> Tensor:
        """Decibels, [batch, frame, mel]."""
        return 10 * (power.transpose(1, 2) @ self.melW).clamp(min=FLOOR).log10()


class _Block(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, features: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(features)).relu())).relu()


class Cnn14(nn.Module):
    """The network, with the published entry names. Dropout is omitted: it has no effect outside training."""

    def __init__(self, n_classes: int = N_CLASSES) -> None:
        super().__init__()
        self.spectrogram_extractor = _Spectrogram()
        self.logmel_extractor = _LogMel()
        self.bn0 = nn.BatchNorm2d(N_MELS)
        for index, (n_in, n_out) in enumerate(pairwise(WIDTHS), start=1):
            self.add_module(f"conv_block{index}", _Block(n_in, n_out))
        self.fc1 = nn.Linear(WIDTHS[-1], WIDTHS[-1])
        self.fc_audioset = nn.Linear(WIDTHS[-1], n_classes)

    def embed(self, waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch 2048"]:
        """Embeddings of sounds at 32 kHz: the "2048" of audioldm_eval and av-benchmark."""
        mel = self.logmel_extractor(self.spectrogram_extractor(waveforms))
        features: Tensor = self.bn0(mel.transpose(1, 2).unsqueeze(3)).permute(0, 3, 2, 1)
        for index in range(1, len(WIDTHS)):
            features = self.get_submodule(f"conv_block{index}")(features)
            if index < len(WIDTHS) - 1:
                features = functional.avg_pool2d(features, 2)
        over_time = features.mean(dim=3)
        pooled = over_time.amax(dim=2) + over_time.mean(dim=2)
        return self.fc1(pooled).relu()

    def forward(self, waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch class"]:
        """Scores of sounds at 32 kHz, each class independently 0..1."""
        return self.fc_audioset(self.embed(waveforms)).sigmoid()


class Cnn14Tagger:
    """Scores sounds at any sample rate for AudioSet's classes."""

    def __init__(self, network: Cnn14) -> None:
        self._network = network
        self.classes = score_names(audioset_names())

    @torch.inference_mode()
    def scores(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch class"]:
        """Score of each class, independently 0..1. Sounds shorter than a third of a second are padded."""
        return self._network(self._prepared(waveforms, sample_rate_hz)).cpu()

    @torch.inference_mode()
    def hear(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Hearing:
        """Logits, and the 2048 features that they are computed from."""
        embedding = self._network.embed(self._prepared(waveforms, sample_rate_hz))
        return Hearing(logits=self._network.fc_audioset(embedding).cpu(), embedding=embedding.cpu())

    def _prepared(self, waveforms: Tensor, sample_rate_hz: int) -> Tensor:
        sound = resample(waveforms.float(), sample_rate_hz, SAMPLE_RATE_HZ)
        sound = functional.pad(sound, (0, max(0, MIN_SAMPLES - sound.shape[1])))
        return sound.to(self._network.fc1.weight.device)


def load_tagger(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> Cnn14Tagger:
    """Load the published tagger.

    Args:
        path: `Cnn14_mAP=0.431.pth`, a dict with the state dict under "model".
        device: target device.
        digest: sha256 of the file, if it has been checked.

    Raises:
        CheckpointError: the file is missing or damaged, lacks an entry or has an extra one.
    """
    # torch maps a file of its current format itself; the old format needs a quick copy that can be mapped.
    kept = None if is_archive(path) else digest
    weights = cached(path, name="tagger", digest=kept, read=lambda: _read(path))
    return Cnn14Tagger(fill(Cnn14, weights.tensors, path).requires_grad_(False).to(device))


def _read(path: Path) -> Weights:
    contents = read_plain(path)
    state = contents.get("model")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} is not a PANNs checkpoint", expected="'model' in it", got=names(contents))
    return Weights(tensors=cast("Mapping[str, Tensor]", state))
