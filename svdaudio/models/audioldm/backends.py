"""Backends that generate sound: this project's own on diffusers and transformers, or the authors' `audioldm` package.

Both take the same weights and the same noise, and differ only by rounding. The package is a reference; it is slower and
supports only DDIM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from svdaudio.models.audioldm.settings import check_backend

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from svdaudio.models.audioldm.autoencoder import AutoencoderKL


class Backend(NamedTuple):
    """The functions of a backend; see those of the same names in this package."""

    diffuse: Callable[..., Float[Tensor, "candidate 8 time 16"]]
    """Latents of a batch of candidates."""
    decode: Callable[[AutoencoderKL, Float[Tensor, "batch 8 time 16"]], Float[Tensor, "batch frame 64"]]
    """Log-mel spectrograms."""
    vocode: Callable[[nn.Module, Float[Tensor, "batch frame 64"]], Float[Tensor, "batch sample"]]
    """Waveforms at 16 kHz."""


def open_backend(name: str) -> Backend:
    """Import the functions of a backend.

    Raises:
        ConfigError: as `check_backend`.
    """
    check_backend(name)
    if name == "audioldm":
        from svdaudio.models.audioldm import package

        return Backend(package.diffuse, package.decode, package.vocode)
    from svdaudio.models.audioldm.autoencoder import decode
    from svdaudio.models.audioldm.diffuse import diffuse
    from svdaudio.models.audioldm.vocoder import vocode

    return Backend(diffuse, decode, vocode)
