"""Which code generates sound: this project's own on diffusers and transformers, or the authors' `audioldm` package.

Both take the same weights and the same noise, and differ by rounding alone. The package is there to check with; it is
slower, and knows DDIM alone.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Literal, Protocol

from svdaudio.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor, nn

    from svdaudio.models.audioldm.autoencoder import AutoencoderKL
    from svdaudio.models.audioldm.diffuser import Diffuser
    from svdaudio.models.audioldm.settings import DiffusionSettings

BackendName = Literal["diffusers", "audioldm"]
BACKENDS: tuple[BackendName, ...] = ("diffusers", "audioldm")


class Backend(Protocol):
    """What makes sound of an embedding; see the functions of the same names in this package."""

    def diffuse(
        self,
        diffuser: Diffuser,
        clap: Float[Tensor, "512"],
        settings: DiffusionSettings,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "candidate 8 time 16"]:
        """Latents of every candidate."""
        ...

    def decode(
        self, autoencoder: AutoencoderKL, latents: Float[Tensor, "batch 8 time 16"]
    ) -> Float[Tensor, "batch frame 64"]:
        """Log-mel spectrograms."""
        ...

    def vocode(self, vocoder: nn.Module, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
        """Waveforms at 16 kHz."""
        ...


def check_backend(name: str, scheduler: str = "ddim") -> None:
    """Make sure that a backend can be used, before anything is computed for it. Imports nothing.

    Raises:
        ConfigError: there is no such backend, its package is not installed, or has no such scheduler.
    """
    if name not in BACKENDS:
        raise ConfigError("there is no such backend", expected=" or ".join(BACKENDS), got=name)
    if name == "audioldm" and importlib.util.find_spec("audioldm") is None:
        raise ConfigError(
            "the package audioldm is not installed",
            fix="run `uv sync --extra audioldm`, or leave generate.backend at diffusers",
        )
    if name == "audioldm" and scheduler != "ddim":
        raise ConfigError(
            "the package audioldm has no such scheduler",
            expected="ddim",
            got=scheduler,
            fix="use --set generate.scheduler=ddim",
        )


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
