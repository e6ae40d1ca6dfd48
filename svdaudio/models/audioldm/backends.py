"""Backends that generate sound: this project's own on diffusers and transformers, or the authors' `audioldm` package.

Both take the same weights and the same noise, and differ only by rounding. The package is a reference; it is slower and
supports only DDIM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from svdaudio.models.audioldm.settings import check_backend

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from svdaudio.models.audioldm.autoencoder import AutoencoderKL
    from svdaudio.models.audioldm.diffuser import Diffuser
    from svdaudio.models.audioldm.noise import Noise
    from svdaudio.models.audioldm.settings import DiffusionSettings


class Backend(Protocol):
    """Generates sound from an embedding; see the functions of the same names in this package."""

    def diffuse(
        self,
        diffuser: Diffuser,
        clap: Float[Tensor, "512"],
        settings: DiffusionSettings,
        *,
        noise: Noise,
    ) -> Float[Tensor, "candidate 8 time 16"]:
        """Latents of a batch of candidates."""
        ...

    def decode(
        self, autoencoder: AutoencoderKL, latents: Float[Tensor, "batch 8 time 16"]
    ) -> Float[Tensor, "batch frame 64"]:
        """Log-mel spectrograms."""
        ...

    def vocode(self, vocoder: nn.Module, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
        """Waveforms at 16 kHz."""
        ...


def open_backend(name: str) -> Backend:
    """The functions of a backend.

    Raises:
        ConfigError: as `check_backend`.
    """
    check_backend(name)
    if name == "audioldm":
        from svdaudio.models.audioldm import package

        return package.PackageBackend()
    return _Own()


class _Own:
    """This project's functions."""

    def __init__(self) -> None:
        from svdaudio.models.audioldm.autoencoder import decode
        from svdaudio.models.audioldm.diffuse import diffuse
        from svdaudio.models.audioldm.vocoder import vocode

        self.diffuse = diffuse
        self.decode = decode
        self.vocode = vocode
