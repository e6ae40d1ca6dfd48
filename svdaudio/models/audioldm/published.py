"""Reads AudioLDM from its two published forms: the authors' single `.ckpt`, and the diffusers folder.

`open_published` returns a `Published`, whose methods return each network's configuration and tensors under our names,
whichever form they come from; `svdaudio.models.audioldm.loaders` builds the networks. Every key of a file must be
known, and every tensor of a network must be present with its shape. Only tensors are unpickled.

Sampling uses the running averages of the noise network's weights (`model_ema.*`), as upstream does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from svdaudio.errors import CheckpointError
from svdaudio.files import read_text
from svdaudio.memory_layout import fill_network
from svdaudio.models.audioldm import naming
from svdaudio.models.audioldm.architecture import AUDIOLDM_S_FULL_V2, HEAD_CHANNELS, Architecture
from svdaudio.models.audioldm.autoencoder import build_autoencoder
from svdaudio.models.audioldm.clap import (
    ClapTextEncoder,
    Tokenizer,
    build_audio_network,
    build_text_network,
    mel_filters,
)
from svdaudio.models.audioldm.diffuser import build_unet
from svdaudio.models.audioldm.vocoder import build_vocoder
from svdaudio.weights.reading import read_inert, read_plain, unreadable

UNET, UNET_AVERAGE, VAE, VOCODER, CLAP = (
    "model.diffusion_model.",
    "model_ema.",
    "first_stage_model.",
    "first_stage_model.vocoder.",
    "cond_stage_model.model.",
)
SCALE = "scale_factor"
MEL_FILTERS = f"{CLAP}audio_branch.logmel_extractor.melW"
SCHEDULE_BUFFERS = frozenset(
    (
        "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
        "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
        "lvlb_weights", "logvar",
    )
)  # fmt: skip
"""Buffers derived from the noise schedule, which `svdaudio.models.audioldm.diffuser.SCHEDULE` defines."""
UNUSED_CLAP = (
    "audio_branch.spectrogram_extractor.", "audio_branch.logmel_extractor.", "audio_branch.tscam_conv.",
    "audio_branch.head.", "audio_transform.", "text_transform.", "logit_scale_a", "logit_scale_t",
)  # fmt: skip
"""Parts of CLAP that embeddings do not use, and its spectrogram, which is the same in all checkpoints."""
TEXT_CONSTANTS = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""Counters that some releases of transformers store with the weights and others do not."""
LEGACY_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names in the VAE's attention before diffusers 0.17, which the published folder has → current names."""
N_MISSING_SHOWN = 3

M = TypeVar("M", bound=nn.Module)
log = logging.getLogger(__name__)


class Weights(NamedTuple):
    """One network as arguments and tensors, under the names of the class that builds it."""

    config: dict[str, Any]
    state: dict[str, Tensor]


class Published(Protocol):
    """AudioLDM's networks, one at a time."""

    path: Path

    def unet(self) -> Weights:
        """The noise network."""
        ...

    def autoencoder(self) -> Weights:
        """The VAE."""
        ...

    def vocoder(self) -> Weights:
        """The HiFi-GAN."""
        ...

    def text(self) -> Weights:
        """CLAP's text branch."""
        ...

    def audio(self) -> Weights:
        """CLAP's audio branch."""
        ...

    def tokenizer(self) -> Tokenizer | None:
        """RoBERTa's tokenizer, or None if the form does not include it."""
        ...


def open_published(path: Path, *, architecture: Architecture = AUDIOLDM_S_FULL_V2) -> Published:
    """Detect which form `path` has. `architecture` is only needed for the authors' checkpoint.

    Raises:
        CheckpointError: it is neither, or holds unknown tensors.
    """
    if path.is_dir():
        return DiffusersFolder(path if (path / "unet").is_dir() else path.parent)
    return AuthorsCheckpoint(path, architecture)


class AuthorsCheckpoint:
    """The authors' `.ckpt`: a `{"state_dict": …}` with all networks.

    The file is mapped into memory, so that only the tensors that a network needs are read.
    """

    def __init__(self, path: Path, architecture: Architecture = AUDIOLDM_S_FULL_V2) -> None:
        self.path = path
        self.state = read_state_dict(path)
        self._architecture = architecture
        if unknown := [name for name in self.state if not _is_known(name)]:
            raise _misfit(path, "holds tensors that AudioLDM does not have", unknown)

    def unet(self) -> Weights:
        """The noise network, from its running averages if present."""
        config = dict(self._architecture.unet)
        places = naming.unet_places(names_of(build_unet, config), config)
        published = {name.removeprefix(UNET): t for name, t in self.state.items() if name.startswith(UNET)}
        averages = {
            name: self.state[UNET_AVERAGE + averaged]
            for name in published
            if (averaged := naming.averaged_name(name)) and UNET_AVERAGE + averaged in self.state
        }
        n_averages = sum(name.startswith(UNET_AVERAGE) for name in self.state)
        n_bookkeeping = sum(UNET_AVERAGE + name in self.state for name in ("decay", "num_updates"))
        if n_averages and (len(averages) != len(published) or n_averages - n_bookkeeping != len(averages)):
            raise _misfit(
                self.path,
                "has running averages that do not match its weights",
                [n for n in published if n not in averages],
            )
        return self._taken(config, averages or published, places)

    def autoencoder(self) -> Weights:
        """The VAE; its scaling factor is a tensor of the checkpoint."""
        if SCALE not in self.state:
            raise _misfit(self.path, "lacks tensors", [SCALE])
        config = {**self._architecture.autoencoder, "scaling_factor": float(self.state[SCALE])}
        places = naming.autoencoder_places(names_of(build_autoencoder, config), config)
        return self._taken(config, self._below(VAE, except_below=VOCODER), places)

    def vocoder(self) -> Weights:
        """The HiFi-GAN, whose input is not normalised: mean 0 and scale 1."""
        config = dict(self._architecture.vocoder)
        places = naming.vocoder_places(names_of(build_vocoder, config))
        weights = self._taken(config, self._below(VOCODER), places)
        n_bands = int(config["model_in_dim"])
        return Weights(config, {**weights.state, "mean": torch.zeros(n_bands), "scale": torch.ones(n_bands)})

    def text(self) -> Weights:
        """CLAP's text branch."""
        config = dict(self._architecture.text)
        names = names_of(build_text_network, config)
        state = {
            name: t for name, t in self._below(CLAP).items() if name.startswith(("text_branch.", "text_projection."))
        }
        return with_text_constants(
            self._taken(config, state, naming.text_places(names), optional=TEXT_CONSTANTS), self.path
        )

    def audio(self) -> Weights:
        """CLAP's audio branch."""
        config = dict(self._architecture.audio)
        places = naming.audio_places(names_of(build_audio_network, config))
        state = {
            name: t
            for name, t in self._below(CLAP).items()
            if name.startswith(("audio_branch.", "audio_projection.")) and not _is_unused_clap(name)
        }
        filters = self.state.get(MEL_FILTERS)
        if filters is not None and not torch.allclose(filters, mel_filters(), atol=1e-5):
            raise _misfit(self.path, "uses other mel filters", [MEL_FILTERS])
        return self._taken(config, state, places)

    def tokenizer(self) -> Tokenizer | None:
        """None: the checkpoint includes no tokenizer."""
        return None

    def _below(self, prefix: str, except_below: str | None = None) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.state.items()
            if name.startswith(prefix) and not (except_below and name.startswith(except_below))
        }

    def _taken(
        self,
        config: dict[str, Any],
        state: Mapping[str, Tensor],
        places: naming.Places,
        optional: Iterable[str] = (),
    ) -> Weights:
        expected = {place.name for place in places.values()}
        if unknown := [name for name in state if name not in expected]:
            raise _misfit(self.path, "holds tensors that AudioLDM does not have", unknown)
        ours = naming.to_ours(state, places)
        missing = [places[name].name for name in places if name not in ours and name not in optional]
        if missing:
            raise _misfit(self.path, "lacks tensors", missing)
        return Weights(config, ours)


class DiffusersFolder:
    """A folder written by diffusers and transformers: `unet`, `vae`, `vocoder`, `text_encoder`, `tokenizer`.

    The published folder lacks CLAP's audio branch; folders written by `svdaudio.models.audioldm.convert` have it in
    `audio_encoder`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def unet(self) -> Weights:
        """The noise network, with heads of 32 channels regardless of the folder's configuration.

        diffusers' own conversion omits the number of heads. Its default of 8 at every level splits the third and fourth
        level differently than in training.
        """
        config, state = self._read("unet", "diffusion_pytorch_model")
        widths = config.get("block_out_channels", [])
        heads = [int(width) // HEAD_CHANNELS for width in widths]
        if config.get("class_embeddings_concat") and config.get("attention_head_dim") != heads and all(heads):
            log.warning("%s: heads of %d channels, as AudioLDM was trained", self.path / "unet", HEAD_CHANNELS)
            config["attention_head_dim"] = heads
        return Weights(config, state)

    def autoencoder(self) -> Weights:
        """The VAE."""
        config, state = self._read("vae", "diffusion_pytorch_model")
        return Weights(config, {_current_name(name): tensor for name, tensor in state.items()})

    def vocoder(self) -> Weights:
        """The HiFi-GAN."""
        return self._read("vocoder", "model", "pytorch_model")

    def text(self) -> Weights:
        """CLAP's text branch."""
        return with_text_constants(self._read("text_encoder", "model", "pytorch_model"), self.path)

    def audio(self) -> Weights:
        """CLAP's audio branch.

        Raises:
            CheckpointError: the folder lacks it, as the published one does.
        """
        if not (self.path / "audio_encoder").is_dir():
            raise CheckpointError(
                f"the folder {self.path} has no CLAP audio branch",
                expected="audio_encoder/",
                got="the published folder, which lacks it",
                fix="use the authors' .ckpt, which has it, for the audio_encoder",
            )
        return self._read("audio_encoder", "model", "pytorch_model")

    def tokenizer(self) -> Tokenizer | None:
        """RoBERTa's tokenizer; None if the folder has none."""
        folder = self.path / "tokenizer"
        if not folder.is_dir():
            return None
        from transformers import RobertaTokenizerFast

        loader: Any = RobertaTokenizerFast
        return loader.from_pretrained(str(folder), local_files_only=True)

    def _read(self, part: str, *stems: str) -> Weights:
        folder = self.path / part
        try:
            config: object = json.loads(read_text(folder / "config.json"))
            if not isinstance(config, dict):
                raise TypeError("not a JSON object")
        except OSError as error:
            raise CheckpointError(
                f"the folder {self.path} is not AudioLDM in diffusers' format",
                expected=f"{part}/config.json",
                got=error.strerror or str(error),
                fix="pass the folder with unet, vae, vocoder and text_encoder in it, or the authors' .ckpt",
            ) from None
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f"{folder / 'config.json'} is damaged", got=str(error), fix="fetch it again"
            ) from error
        config = cast("dict[str, Any]", config)
        for stem in stems:
            if (folder / f"{stem}.safetensors").is_file():
                return Weights(_plain(config), _read_safetensors(folder / f"{stem}.safetensors"))
        for stem in stems:
            if (folder / f"{stem}.bin").is_file():
                return Weights(_plain(config), _read_tensors(folder / f"{stem}.bin"))
        raise CheckpointError(
            f"the folder {folder} has no weights", expected=f"{stems[0]}.safetensors", fix="fetch it again"
        )


def read_diffuser(source: Published) -> Weights:
    """Read the parts of a `Diffuser`: the noise network, and the embedding of the empty text.

    Raises:
        CheckpointError: a tensor is missing, unknown, or of the wrong shape.
    """
    # The text branch first, so that it is released before the larger network is loaded.
    empty_text = ClapTextEncoder(fill(build_text_network, source.text(), source.path)).embed_empty_text()
    unet = source.unet()
    state = {f"unet.{name}": tensor for name, tensor in unet.state.items()}
    return Weights(unet.config, {**state, "unconditional": empty_text})


def load_text_encoder(
    path: Path, device: str | torch.device = "cpu", *, architecture: Architecture = AUDIOLDM_S_FULL_V2
) -> ClapTextEncoder:
    """Load CLAP's text branch, with the tokenizer if there is one.

    Raises:
        CheckpointError: as `read_diffuser`.
    """
    source = open_published(path, architecture=architecture)
    network: Any = fill(build_text_network, source.text(), path)
    return ClapTextEncoder(network.to(torch.device(device)), source.tokenizer())


def fill(build: Callable[[dict[str, Any]], M], weights: Weights, path: Path) -> M:
    """Build the network of `weights` strictly, as float32, in evaluation mode.

    Tensors are copied only if they do not have the canonical layout.

    Raises:
        CheckpointError: they do not match the network.
    """
    try:
        with torch.device("meta"):
            model = build(weights.config)
        state = {name: t.float() if t.is_floating_point() else t for name, t in weights.state.items()}
        fill_network(model, state)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights in {path} do not match AudioLDM",
            got=str(error).strip().splitlines()[-1].strip()[:200],
            fix="fetch them again",
        ) from error
    return model.eval().requires_grad_(requires_grad=False)


def names_of(build: Callable[[dict[str, Any]], nn.Module], config: Mapping[str, Any]) -> list[str]:
    """Names of all tensors of a network, without allocating it."""
    with torch.device("meta"):
        return list(build(dict(config)).state_dict())


def with_text_constants(weights: Weights, path: Path) -> Weights:
    """Add RoBERTa's two counters if the file lacks them.

    Raises:
        CheckpointError: the word or position embeddings are missing.
    """
    name = "text_model.embeddings.position_embeddings.weight"
    if name not in weights.state:
        raise _misfit(path, "lacks tensors", [name])
    n_positions = weights.state[name].shape[0]
    constants = (torch.arange(n_positions)[None], torch.zeros(1, n_positions, dtype=torch.long))
    return Weights(weights.config, {**weights.state, **dict(zip(TEXT_CONSTANTS, constants, strict=True))})


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Map the `state_dict` of the authors' checkpoint into memory.

    A training checkpoint may include settings and callbacks, which are objects of packages that may not be
    installed. They are skipped; no code named in the file is executed.

    Raises:
        CheckpointError: the file does not exist, or its state dict holds something other than tensors.
    """
    state = read_inert(path).get("state_dict")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} is not an AudioLDM checkpoint", expected="a state_dict in it", got="none")
    return _tensors(path, state)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    return _tensors(path, read_plain(path, what="a state dict"))


def _tensors(path: Path, found: Any) -> dict[str, Tensor]:
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointError(f"{path} contains something other than tensors", expected="a state_dict")
    return {str(name): tensor for name, tensor in found.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with unreadable(path, "a safetensors file"):
        return load_file(path)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _current_name(name: str) -> str:
    for old, new in LEGACY_ATTENTION.items():
        if ".attentions." in name and old in name:
            return name.replace(old, new)
    return name


def _is_unused_clap(name: str) -> bool:
    return name.startswith(UNUSED_CLAP) or name.endswith(".attn_mask")


def _is_known(name: str) -> bool:
    if name.startswith(CLAP):
        rest = name.removeprefix(CLAP)
        branches = ("audio_branch.", "audio_projection.", "text_branch.", "text_projection.")
        return rest.startswith(branches) or _is_unused_clap(rest)
    return name in SCHEDULE_BUFFERS or name == SCALE or name.startswith((UNET, UNET_AVERAGE, VAE))


def _misfit(path: Path, what: str, names: Iterable[str]) -> CheckpointError:
    names = sorted(names)
    shown = ", ".join(names[:N_MISSING_SHOWN]) + (
        f" and {len(names) - N_MISSING_SHOWN} more" if len(names) > N_MISSING_SHOWN else ""
    )
    return CheckpointError(
        f"the checkpoint {path} {what}", expected="AudioLDM-s-full-v2", got=shown, fix="fetch it again"
    )
