"""CLAP as AudioLDM uses it: embeds sounds and texts as unit vectors in one space of 512 dimensions.

The networks are transformers' (`ClapAudioModelWithProjection`, HTS-AT without fusion; `ClapTextModelWithProjection`,
RoBERTa). Audio is prepared as upstream: 48 kHz, ten seconds, shorter sounds repeated and padded with silence. Of a
longer sound, upstream takes ten seconds at random; here the first ten are used, which are those that a run keeps.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torchaudio.functional import melscale_fbanks, resample

from svdaudio.errors import ConfigError
from svdaudio.process_state import kept_process_state

with kept_process_state():
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapTextConfig, ClapTextModelWithProjection

SAMPLE_RATE_HZ = 48_000
N_SAMPLES = 480_000
N_FFT = 1024
HOP_LENGTH = 480
N_MELS = 64
MIN_FREQUENCY_HZ, MAX_FREQUENCY_HZ = 50.0, 14_000.0
POWER_FLOOR = 1e-10
EMPTY_TEXT = (0, 2)  # RoBERTa's start and end; the padding to 512 is masked anyway, so it is omitted
N_TEXT_TOKENS = 512


class Tokenizer(Protocol):
    """RoBERTa's tokenizer, as transformers loads it."""

    def __call__(self, text: list[str], **options: Any) -> Mapping[str, Tensor]:
        """Token numbers and mask of each text."""
        ...


class TextEncoder(Protocol):
    """Embeds text in CLAP space."""

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "batch 512"]:
        """Unit vectors."""
        ...


def build_audio_network(config: Mapping[str, Any]) -> ClapAudioModelWithProjection:
    """Build the audio branch from the values of transformers' configuration class."""
    return ClapAudioModelWithProjection(ClapAudioConfig.from_dict(dict(config)))


def build_text_network(config: Mapping[str, Any]) -> ClapTextModelWithProjection:
    """Build the text branch from the values of transformers' configuration class."""
    return ClapTextModelWithProjection(ClapTextConfig.from_dict(dict(config)))


@functools.cache
def mel_filters() -> Tensor:
    """Slaney mel filters of unit area, [513, 64], 50 Hz to 14 kHz."""
    return melscale_fbanks(
        N_FFT // 2 + 1, MIN_FREQUENCY_HZ, MAX_FREQUENCY_HZ, N_MELS, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
    )


def to_ten_seconds(waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch 480000"]:
    """Exactly ten seconds at 48 kHz: the start of a longer sound; a shorter one repeated, then silence."""
    n_samples = waveforms.shape[1]
    if n_samples >= N_SAMPLES:
        return waveforms[:, :N_SAMPLES]
    repeated = waveforms.repeat(1, N_SAMPLES // n_samples)
    return functional.pad(repeated, (0, N_SAMPLES - repeated.shape[1]))


def log_mel(waveforms: Float[Tensor, "batch 480000"]) -> Float[Tensor, "batch 1 1001 64"]:
    """Mel powers in decibels, never below -100 dB."""
    window = torch.hann_window(N_FFT, device=waveforms.device)
    spectrum = torch.stft(waveforms, N_FFT, HOP_LENGTH, window=window, pad_mode="reflect", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = power.transpose(1, 2) @ mel_filters().to(waveforms.device)
    return 10.0 * mel.clamp(min=POWER_FLOOR).log10().unsqueeze(1)


class ClapAudioEncoder:
    """Embeds sounds as unit vectors in CLAP space; `svdaudio.models.audioldm.choose` ranks candidates with it."""

    def __init__(self, network: ClapAudioModelWithProjection) -> None:
        self.network = network

    @torch.inference_mode()
    def embed(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch 512"]:
        """Unit vectors of sounds at any sample rate, one sound at a time to save memory."""
        device = self.network.audio_projection.linear1.weight.device
        network: Any = self.network
        rows: list[Tensor] = []
        for waveform in waveforms:
            sound = resample(waveform[None].float().to(device), sample_rate_hz, SAMPLE_RATE_HZ)
            embedding = network(input_features=log_mel(to_ten_seconds(sound))).audio_embeds
            rows.append(functional.normalize(embedding, dim=-1))
        return torch.cat(rows)


class ClapTextEncoder:
    """Embeds text as unit vectors in CLAP space.

    Args:
        network: the text branch.
        tokenizer: RoBERTa's; the authors' checkpoint does not include one, a diffusers folder does.
    """

    def __init__(self, network: ClapTextModelWithProjection, tokenizer: Tokenizer | None = None) -> None:
        self.network = network
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def embed_tokens(
        self, tokens: Int[Tensor, "batch token"], mask: Int[Tensor, "batch token"] | None = None
    ) -> Float[Tensor, "batch 512"]:
        """Unit vectors of RoBERTa tokens; `mask` is 0 where a row is padded."""
        device = self.network.text_projection.linear1.weight.device
        network: Any = self.network
        given = tokens.to(device)
        mask = torch.ones_like(given) if mask is None else mask.to(device)
        return functional.normalize(network(input_ids=given, attention_mask=mask).text_embeds, dim=-1)

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "batch 512"]:
        """Unit vectors of texts.

        Raises:
            ConfigError: the tokenizer is missing.
        """
        if self.tokenizer is None:
            raise ConfigError(
                "the text cannot be split into tokens",
                got="the authors' checkpoint, which has no tokenizer",
                fix="use the diffusers folder, which has one",
            )
        found = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=N_TEXT_TOKENS, return_tensors="pt"
        )
        return self.embed_tokens(found["input_ids"], found["attention_mask"])

    def embed_empty_text(self) -> Float[Tensor, "512"]:
        """The unit vector of "", which represents the absence of a condition."""
        return self.embed_tokens(torch.tensor([EMPTY_TEXT]))[0].clone()
