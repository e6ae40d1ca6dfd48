"""The whole of SSV2A as one module: training reads means and log variances, use draws from them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from svdaudio.errors import ConfigError
from svdaudio.ssv2a.config import Config
from svdaudio.ssv2a.layers import VariationalMLP, mean_of_draws
from svdaudio.ssv2a.manifold import Manifold
from svdaudio.ssv2a.remixer import Remixer


class SSV2A(nn.Module):
    """SSV2A: manifold, generator and remixer, with the published names of parameters under each.

    The four methods that return a pair (`encode_clips`, `encode_claps`, `generate`, `remix`) give μ and
    log σ² with gradients, in training mode with dropout, and leave the drawing to the loss. The other methods
    draw, need evaluation mode, and keep no gradients.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.manifold = Manifold(config)
        self.generator = VariationalMLP(
            config.manifold_dim, config.clap_dim, config.generator.layers, dropout=config.generator.dropout, bias=True
        )
        self.remixer = Remixer(config)

    def encode_clips(
        self, clips: Float[Tensor, "*batch clip"]
    ) -> tuple[Float[Tensor, "*batch manifold"], Float[Tensor, "*batch manifold"]]:
        """μ and log σ² of the manifold codes of CLIP embeddings."""
        return self.manifold.clip_encoder(clips)

    def encode_claps(
        self, claps: Float[Tensor, "*batch clap"]
    ) -> tuple[Float[Tensor, "*batch manifold"], Float[Tensor, "*batch manifold"]]:
        """μ and log σ² of the manifold codes of CLAP embeddings."""
        return self.manifold.clap_encoder(claps)

    def generate(self, codes: Float[Tensor, "*batch manifold"]) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """μ and log σ² of the CLAP embeddings of manifold codes, each by itself."""
        return self.generator(codes)

    def remix(
        self, codes: Float[Tensor, "*batch slot manifold"], clips: Float[Tensor, "*batch slot clip"]
    ) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """μ and log σ² of the one CLAP embedding of all slots together; their order does not matter."""
        return self.remixer.styler(codes, clips)

    @torch.no_grad()
    def fold_clips(
        self, clips: Float[Tensor, "*batch clip"], *, var_samples: int = 64, generator: Generator
    ) -> Float[Tensor, "*batch manifold"]:
        """Manifold codes of CLIP embeddings, each the mean of `var_samples` draws.

        Rows of zeros (slots without an object) are encoded as any other; they share one pass of the encoder.
        """
        self._check_use(var_samples=var_samples)
        rows = clips.reshape(-1, clips.shape[-1])
        filled = (rows != 0).any(-1)
        # Row 0 of the pass is a zero row; every empty slot takes its result from there.
        encoded = [part.reshape(-1, part.shape[-1]) for part in self.encode_clips(torch.cat([rows.new_zeros(1, rows.shape[-1]), rows[filled]]))]
        index = torch.cumsum(filled, 0) * filled
        mu, log_sigma = (part[index].reshape(*clips.shape[:-1], -1) for part in encoded)
        return mean_of_draws(mu, log_sigma, var_samples=var_samples, generator=generator)

    @torch.no_grad()
    def fold_claps(
        self, claps: Float[Tensor, "*batch clap"], *, var_samples: int = 64, generator: Generator
    ) -> Float[Tensor, "*batch manifold"]:
        """Manifold codes of CLAP embeddings, each the mean of `var_samples` draws."""
        self._check_use(var_samples=var_samples)
        return mean_of_draws(*self.encode_claps(claps), var_samples=var_samples, generator=generator)

    @torch.no_grad()
    def fold2claps(
        self, codes: Float[Tensor, "*batch manifold"], *, var_samples: int = 64, generator: Generator
    ) -> Float[Tensor, "*batch clap"]:
        """CLAP embeddings of manifold codes by the generator: the mean of `var_samples` draws, L2-normalised."""
        self._check_use(var_samples=var_samples)
        return functional.normalize(mean_of_draws(*self.generate(codes), var_samples=var_samples, generator=generator), dim=-1)

    def _check_use(self, *, var_samples: int) -> None:
        if self.training:
            raise ConfigError("SSV2A draws in evaluation mode only", fix="call `eval()` on the model first")
        check_count("var_samples", var_samples, least=1)


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"'{name}' has no such value", expected=f"a whole number, at least {least}", got=value)
