"""SSV2A as one module: training uses means and log variances, inference draws from them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from svdaudio.errors import ConfigError, InputError
from svdaudio.models.ssv2a.config import Config
from svdaudio.models.ssv2a.cycle import cycle_mix
from svdaudio.models.ssv2a.layers import VariationalMLP, mean_of_draws
from svdaudio.models.ssv2a.manifold import Manifold
from svdaudio.models.ssv2a.remixer import Remixer


class SSV2A(nn.Module):
    """SSV2A: manifold, generator and remixer, with the published names of parameters under each.

    The four methods that return a pair (`encode_clips`, `encode_claps`, `generate`, `remix`) return μ and
    log σ² with gradients, in training mode with dropout, and leave sampling to the loss. The other methods
    sample, need evaluation mode, and keep no gradients.
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

    def generate(
        self, codes: Float[Tensor, "*batch manifold"]
    ) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """μ and log σ² of the CLAP embeddings of manifold codes, each independently."""
        return self.generator(codes)

    def remix(
        self, codes: Float[Tensor, "*batch slot manifold"], clips: Float[Tensor, "*batch slot clip"]
    ) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """μ and log σ² of one CLAP embedding for all slots together; their order does not matter."""
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
        encoded = [
            part.reshape(-1, part.shape[-1])
            for part in self.encode_clips(torch.cat([rows.new_zeros(1, rows.shape[-1]), rows[filled]]))
        ]
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
        """CLAP embeddings that the generator makes of manifold codes: means of `var_samples` draws, L2-normalised."""
        self._check_use(var_samples=var_samples)
        return functional.normalize(
            mean_of_draws(*self.generate(codes), var_samples=var_samples, generator=generator), dim=-1
        )

    @torch.no_grad()
    def cycle_mix(
        self,
        clips: Float[Tensor, "batch slot clip"],
        its: int = 64,
        samples: int = 64,
        var_samples: int = 64,
        *,
        generator: Generator,
    ) -> Float[Tensor, "batch clap"]:
        """One CLAP embedding for each picture, from the CLIP embeddings in its slots (`svdaudio.models.ssv2a.cycle`).

        Args:
            clips: the whole picture in slot 0, its objects in slots 1…, zeros in the rest.
            its: rounds after the first.
            samples: candidates in each round.
            var_samples: number of draws averaged for each embedding; more draws mean less noise.
            generator: source of all random numbers, in an order that depends only on the shapes.

        Returns:
            The best candidate of each element, L2-normalised.

        Raises:
            ConfigError: a count is invalid, or the model is in training mode.
            InputError: `clips` has the wrong shape, or a number that is not finite.
        """
        self._check_use(var_samples=var_samples)
        check_count("its", its, least=0)
        check_count("samples", samples, least=1)
        expected = (self.config.remixer.slot, self.config.clip_dim)
        if clips.ndim != 3 or tuple(clips.shape[1:]) != expected:
            raise InputError("the slots have the wrong shape", expected=["batch", *expected], got=list(clips.shape))
        if not bool(torch.isfinite(clips).all()):
            raise InputError("the slots contain numbers that are not finite")
        return cycle_mix(self, clips, its=its, samples=samples, var_samples=var_samples, generator=generator)

    def _check_use(self, *, var_samples: int) -> None:
        if self.training:
            raise ConfigError("SSV2A samples in evaluation mode only", fix="call `eval()` on the model first")
        check_count("var_samples", var_samples, least=1)


def check_count(name: str, value: object, *, least: int) -> None:
    """Reject anything but a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"'{name}' is not valid", expected=f"a whole number, at least {least}", got=value)
