"""Generates sound with the authors' own code, the `audioldm` package, and the weights of our networks.

Each of our networks is converted to the package's class: same tensors, published names. The package's sampler is used
with three changes: its tables stay on the network's device instead of a GPU requested by name; it uses the noise of the
run, as our own backend does, instead of the global generator; and its output is suppressed.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Generator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from svdaudio.errors import ConfigError
from svdaudio.memory_layout import fill_network
from svdaudio.models.audioldm import naming
from svdaudio.models.audioldm.diffuse import ETA, N_BANDS, N_CHANNELS, n_latent_frames, reduced_precision
from svdaudio.models.audioldm.diffuser import BETA_END, BETA_START, N_TRAIN_STEPS
from svdaudio.models.audioldm.mel import HOP_LENGTH
from svdaudio.models.audioldm.noise import Noise
from svdaudio.models.audioldm.settings import DiffusionSettings, check_backend
from svdaudio.process_state import import_quietly
from svdaudio.weights.reading import WithoutInitialisation

if TYPE_CHECKING:
    from svdaudio.models.audioldm.autoencoder import AutoencoderKL
    from svdaudio.models.audioldm.diffuser import Diffuser

N_GROUPS = 32  # in every group norm of the package
IDENTITY = {"target": "torch.nn.Identity"}


@torch.inference_mode()
def diffuse(
    diffuser: Diffuser,
    clap: Float[Tensor, "512"],
    settings: DiffusionSettings,
    *,
    noise: Noise,
) -> Float[Tensor, "candidate 8 time 16"]:
    """Same as `svdaudio.models.audioldm.diffuse.diffuse`, but by the package's `DDIMSampler`.

    Raises:
        ConfigError: the package lacks the scheduler, or cannot build the network.
    """
    check_backend("audioldm", settings.scheduler)
    n_candidates = settings.n_candidates
    device = diffuser.unconditional.device
    shape = (N_CHANNELS, n_latent_frames(settings.duration_s), N_BANDS)
    with _quietly(), reduced_precision(device, settings.precision):
        latents, _ = _sampler(noise_network(diffuser), device, noise).sample(
            settings.n_steps,
            n_candidates,
            shape,
            conditioning=clap.to(device).expand(n_candidates, 1, -1),
            x_T=noise((n_candidates, *shape)).to(device),
            eta=ETA,
            verbose=False,
            unconditional_guidance_scale=settings.guidance_scale,
            unconditional_conditioning=diffuser.unconditional.expand(n_candidates, 1, -1),
        )
    return latents.float().cpu()


@torch.inference_mode()
def decode(autoencoder: AutoencoderKL, latents: Float[Tensor, "batch 8 time 16"]) -> Float[Tensor, "batch frame 64"]:
    """Same as `svdaudio.models.audioldm.autoencoder.decode`, but by the package's VAE.

    Raises:
        ConfigError: the package cannot build the network.
    """
    ours: Any = autoencoder
    scale = float(ours.config["scaling_factor"])
    network = first_stage(autoencoder)
    device = next(autoencoder.parameters()).device
    return torch.cat([network.decode(one[None].to(device) / scale)[:, 0].cpu() for one in latents])


@torch.inference_mode()
def vocode(vocoder: nn.Module, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
    """Same as `svdaudio.models.audioldm.vocoder.vocode`, but by the package's HiFi-GAN.

    Raises:
        ConfigError: the package cannot build the vocoder.
    """
    network = hifi_gan(vocoder)
    device = next(chain(vocoder.parameters(), vocoder.buffers())).device
    n_samples = mel.shape[1] * HOP_LENGTH
    return torch.cat([network(one.T[None].to(device))[:, 0, :n_samples].cpu() for one in mel])


def noise_network(diffuser: Diffuser) -> nn.Module:
    """The package's `UNetModel` with our weights.

    Raises:
        ConfigError: the package cannot build a network of this kind.
    """
    import_quietly("audioldm")
    from audioldm.latent_diffusion.openaimodel import UNetModel

    config: Mapping[str, Any] = diffuser.unet.config
    widths = list(config["block_out_channels"])
    heads = config["attention_head_dim"]
    heads = [heads] * len(widths) if isinstance(heads, int) else list(heads)
    attends = ["CrossAttn" in kind for kind in config["down_block_types"]]
    head_channels = {w // h for w, h, there in zip(widths, heads, attends, strict=True) if there}
    _require("the noise network", "group norms of 32 groups", config["norm_num_groups"] == N_GROUPS)
    _require("the noise network", "widths that are multiples of the first", not any(w % widths[0] for w in widths))
    _require("the noise network", "attention heads of one size", len(head_channels) == 1)
    arguments: dict[str, Any] = {
        "image_size": 64,  # not used by the package
        "in_channels": config["in_channels"],
        "model_channels": widths[0],
        "out_channels": config["out_channels"],
        "num_res_blocks": config["layers_per_block"],
        "attention_resolutions": [2**level for level, there in enumerate(attends) if there],
        "channel_mult": [width // widths[0] for width in widths],
        "num_head_channels": head_channels.pop(),
        "use_spatial_transformer": True,
        "extra_film_condition_dim": config["projection_class_embeddings_input_dim"],
        "extra_film_use_concat": config["class_embeddings_concat"],
    }
    state = diffuser.unet.state_dict()
    with _quietly(), torch.device("meta"):
        network = UNetModel(**arguments)
    return _filled(network, naming.to_published(state, naming.unet_places(state, config)), "the noise network")


def first_stage(autoencoder: AutoencoderKL) -> Any:
    """The package's `AutoencoderKL` with our weights, and without a vocoder.

    Raises:
        ConfigError: the package cannot build a network of this kind.
    """
    import_quietly("audioldm")
    from audioldm.variational_autoencoder.autoencoder import AutoencoderKL as TheirAutoencoder

    ours: Any = autoencoder
    config: Mapping[str, Any] = ours.config
    widths = list(config["block_out_channels"])
    _require("the VAE", "group norms of 32 groups", config["norm_num_groups"] == N_GROUPS)
    _require("the VAE", "widths that are multiples of the first", not any(w % widths[0] for w in widths))
    sizes: dict[str, Any] = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": 256,  # only determines where attention is used: nowhere
        "downsample_time": False,
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": widths[0],
        "ch_mult": [width // widths[0] for width in widths],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    with _quietly(), WithoutInitialisation():
        network: Any = TheirAutoencoder(ddconfig=sizes, embed_dim=config["latent_channels"])
    network.vocoder = nn.Identity()
    state = autoencoder.state_dict()
    return _filled(network, naming.to_published(state, naming.autoencoder_places(state, config)), "the VAE")


def hifi_gan(vocoder: nn.Module) -> nn.Module:
    """The package's HiFi-GAN `Generator` with our weights.

    Raises:
        ConfigError: our vocoder is not a HiFi-GAN, or normalises its input, which the package's does not.
    """
    import_quietly("audioldm")
    from audioldm import hifigan
    from transformers import SpeechT5HifiGan

    if not isinstance(vocoder, SpeechT5HifiGan):
        raise _unsupported("the vocoder", "a HiFi-GAN", type(vocoder).__name__)
    config: Any = vocoder.config
    _require("the vocoder", "a HiFi-GAN that takes unnormalised log-mel", not config.normalize_before)
    sizes = hifigan.AttrDict(
        num_mels=config.model_in_dim,
        upsample_initial_channel=config.upsample_initial_channel,
        upsample_rates=list(config.upsample_rates),
        upsample_kernel_sizes=list(config.upsample_kernel_sizes),
        resblock_kernel_sizes=list(config.resblock_kernel_sizes),
        resblock_dilation_sizes=[list(each) for each in config.resblock_dilation_sizes],
    )
    with _quietly(), torch.device("meta"):
        network = hifigan.Generator(sizes)
        network.remove_weight_norm()
    state = vocoder.state_dict()
    return _filled(network, naming.to_published(state, naming.vocoder_places(state)), "the vocoder")


def _sampler(network: nn.Module, device: torch.device, noise: Noise) -> Any:
    """The package's sampler over the package's diffusion, with our noise."""
    import_quietly("audioldm")
    from audioldm import LatentDiffusion
    from audioldm.latent_diffusion import ddim

    theirs: Any = ddim.DDIMSampler  # most of its inferred types are wrong, taken from defaults of False

    class Sampler(theirs):
        def register_buffer(self, name: str, attr: Any) -> None:
            setattr(self, name, attr)

        def p_sample_ddim(self, x: Tensor, c: Tensor, t: Tensor, index: int, **options: Any) -> tuple[Tensor, Tensor]:
            with torch.random.fork_rng():  # the package draws noise, but multiplies it by a temperature of 0
                earlier, clean = super().p_sample_ddim(x, c, t, index, **{**options, "temperature": 0.0})
            fresh = noise(x.shape).to(x.device)
            return earlier + float(self.ddim_sigmas[index]) * fresh, clean

    build: Any = LatentDiffusion
    diffusion = build(
        device=device,
        first_stage_config=IDENTITY,
        cond_stage_config=IDENTITY,
        cond_stage_trainable=True,
        conditioning_key="film",
        unet_config=IDENTITY,
        timesteps=N_TRAIN_STEPS,
        linear_start=BETA_START,
        linear_end=BETA_END,
        use_ema=False,
        channels=N_CHANNELS,
        monitor=None,
    ).to(device)
    diffusion.model.diffusion_model = network
    return Sampler(diffusion)


def _filled(network: Any, state: Mapping[str, Tensor], what: str) -> Any:
    try:
        fill_network(network, state)
    except RuntimeError as error:
        raise _unsupported(what, "AudioLDM's", str(error).strip().splitlines()[-1].strip()[:160]) from error
    return network.eval().requires_grad_(requires_grad=False)


def _require(what: str, expected: str, fits: bool) -> None:
    if not fits:
        raise _unsupported(what, expected, "another kind")


def _unsupported(what: str, expected: str, got: str) -> ConfigError:
    return ConfigError(
        f"the package audioldm cannot run {what} of this bundle",
        expected=expected,
        got=got,
        fix="use --backend diffusers, or another bundle",
    )


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """Suppress the package's printing, its progress bar, and warnings about its code."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
