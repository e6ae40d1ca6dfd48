"""Maps our tensors to their names and forms in the authors' checkpoint.

Our names are those of diffusers' and transformers' classes. The authors' UNet and VAE number their blocks
consecutively, their VAE stores linear maps as 1 x 1 convolutions, and their CLAP stores query, key and value in one
matrix. One table serves both directions: `to_ours` and `to_published` are inverse to each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

QKV = ("query", "key", "value")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Location of a tensor under its published name."""

    name: str
    part: int | None = None
    """Index of the third, in a published tensor that holds query, key and value."""
    pointwise: bool = False
    """Published as the kernel of a 1 x 1 convolution, [out, in, 1, 1]."""


Places = dict[str, Place]

_UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding": "film_emb",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_UNET_BLOCK = re.compile(
    r"(down|up|mid)_blocks?(?:\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_AUDIO_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "attention.self.relative_position_bias_table": "attn.relative_position_bias_table",
    "attention.self.relative_position_index": "attn.relative_position_index",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_PROJECTION = {"linear1": "0", "linear2": "2"}


def unet_places(names: Iterable[str], config: Mapping[str, Any]) -> Places:
    """Places of the noise network; the published prefix is `model.diffusion_model.`."""
    n_layers = int(config["layers_per_block"])
    has_attention = ["CrossAttn" in str(kind) for kind in config["up_block_types"]]

    def place(name: str) -> Place:
        match = _UNET_BLOCK.fullmatch(name)
        if match is None:
            return Place(name=_replace_head(name, _UNET_ENDS))
        way, level, kind, index, tail = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
        if kind == "resnets":
            tail = _replace_head(tail, _UNET_RESNET)
        if way == "mid":  # resnet, attention, resnet
            return Place(name=f"middle_block.{1 if kind == 'attentions' else 2 * index}.{tail}")
        number = level * (n_layers + 1) + (n_layers if kind.endswith("samplers") else index)
        if way == "down":
            tail = _replace_head(tail, {"conv": "op"}) if kind == "downsamplers" else tail
            return Place(name=f"input_blocks.{number + 1}.{1 if kind == 'attentions' else 0}.{tail}")
        member = {"resnets": 0, "attentions": 1, "upsamplers": 1 + has_attention[level]}[kind]
        return Place(name=f"output_blocks.{number}.{member}.{tail}")

    return _places(names, place)


def autoencoder_places(names: Iterable[str], config: Mapping[str, Any]) -> Places:
    """Places of the VAE; the published prefix is `first_stage_model.`."""
    last = len(config["block_out_channels"]) - 1

    def place(name: str) -> Place:
        renamed = re.sub(r"^encoder\.down_blocks\.(\d+)\.resnets\.(\d+)", r"encoder.down.\1.block.\2", name)
        renamed = re.sub(r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0", r"encoder.down.\1.downsample", renamed)
        renamed = re.sub(
            r"^decoder\.up_blocks\.(\d+)\.resnets", lambda m: f"decoder.up.{last - int(m[1])}.block", renamed
        )
        renamed = re.sub(
            r"^decoder\.up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"decoder.up.{last - int(m[1])}.upsample", renamed
        )
        renamed = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", renamed)
        renamed = renamed.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        head, found, tail = renamed.partition("mid_block.attentions.0.")
        if not found:
            return Place(name=renamed)
        linear = not tail.startswith("group_norm") and tail.endswith("weight")
        return Place(name=f"{head}mid.attn_1.{_replace_head(tail, _VAE_ATTENTION)}", pointwise=linear)

    return _places(names, place)


def vocoder_places(names: Iterable[str]) -> Places:
    """Places of the HiFi-GAN, published as `first_stage_model.vocoder.`; only transformers has `mean` and `scale`."""
    own = ("mean", "scale")
    return _places(
        (name for name in names if name not in own), lambda name: Place(name=re.sub(r"^upsampler\.", "ups.", name))
    )


def text_places(names: Iterable[str]) -> Places:
    """Places of CLAP's text branch; the published prefix is `cond_stage_model.model.`."""

    def place(name: str) -> Place:
        head, _, tail = name.partition(".")
        if head == "text_projection":
            return Place(name=f"{head}.{_replace_head(tail, _PROJECTION)}")
        return Place(name=f"text_branch.{tail}")

    return _places(names, place)


def audio_places(names: Iterable[str]) -> Places:
    """Places of CLAP's audio branch; the published prefix is `cond_stage_model.model.`."""

    def place(name: str) -> Place:
        head, _, tail = name.partition(".")
        if head == "audio_projection":
            return Place(name=f"{head}.{_replace_head(tail, _PROJECTION)}")
        tail = _replace_head(tail.removeprefix("audio_encoder."), {"batch_norm": "bn0"})
        match = re.match(r"(layers\.\d+\.blocks\.\d+)\.(.*)", tail)
        if match is None:
            return Place(name=f"audio_branch.{tail}")
        block, rest = match[1], match[2]
        for part, kind in enumerate(QKV):
            if rest.startswith(f"attention.self.{kind}."):
                return Place(name=f"audio_branch.{block}.attn.qkv.{rest.rpartition('.')[2]}", part=part)
        return Place(name=f"audio_branch.{block}.{_replace_head(rest, _AUDIO_BLOCK)}")

    return _places(names, place)


def to_ours(state: Mapping[str, Tensor], places: Mapping[str, Place]) -> dict[str, Tensor]:
    """Tensors under our names; those that `state` lacks are omitted. Uses views instead of copies where possible."""
    ours: dict[str, Tensor] = {}
    for name, place in places.items():
        if place.name in state:
            tensor = state[place.name]
            if place.part is not None:
                tensor = tensor.chunk(len(QKV))[place.part]
            ours[name] = tensor[..., 0, 0] if place.pointwise and tensor.ndim == 4 else tensor
    return ours


def to_published(state: Mapping[str, Tensor], places: Mapping[str, Place]) -> dict[str, Tensor]:
    """Tensors under their published names, in their published forms."""
    published: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, place in places.items():
        tensor = state[name]
        if place.part is not None:
            parts.setdefault(place.name, {})[place.part] = tensor
        else:
            published[place.name] = tensor[..., None, None] if place.pointwise else tensor
    for name, thirds in parts.items():
        published[name] = torch.cat([thirds[part] for part in range(len(QKV))])
    return published


def averaged_name(name: str) -> str:
    """Name, after the prefix `model_ema.`, of a noise network parameter's running average: without dots."""
    return f"diffusion_model.{name}".replace(".", "")


def _places(names: Iterable[str], place: Callable[[str], Place]) -> Places:
    return {name: place(name) for name in names}


def _replace_head(name: str, heads: Mapping[str, str]) -> str:
    for head in _longest_first(heads):
        if name == head or name.startswith(f"{head}."):
            return heads[head] + name[len(head) :]
    return name


def _longest_first(names: Iterable[str]) -> Sequence[str]:
    return sorted(names, key=len, reverse=True)
