"""Converts the AudioLDM authors' `.ckpt` to a diffusers folder, and back.

diffusers and transformers can read the folder. Compared with the published folder it has two additions:
`audio_encoder` (CLAP's audio branch, transformers' `ClapAudioModelWithProjection`) and `rest.safetensors`, which holds
everything else in the checkpoint under its own name. So the reverse conversion yields a checkpoint that the `audioldm`
package loads strictly. Only the noise network's raw weights are lost: both directions keep just their running
averages, which sampling uses.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from svdaudio.errors import CheckpointError
from svdaudio.models.audioldm import naming
from svdaudio.models.audioldm.architecture import AUDIOLDM_S_FULL_V2, Architecture
from svdaudio.models.audioldm.autoencoder import build_autoencoder
from svdaudio.models.audioldm.clap import build_audio_network, build_text_network
from svdaudio.models.audioldm.diffuser import SCHEDULE, build_unet
from svdaudio.models.audioldm.published import (
    CLAP,
    SCALE,
    TEXT_CONSTANTS,
    UNET,
    UNET_AVERAGE,
    VAE,
    VOCODER,
    AuthorsCheckpoint,
    DiffusersFolder,
    Weights,
    names_of,
)
from svdaudio.models.audioldm.vocoder import build_vocoder

REST = "rest.safetensors"
CLASSES: Mapping[str, tuple[str, str]] = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "vocoder": ("transformers", "SpeechT5HifiGan"),
    "text_encoder": ("transformers", "ClapTextModelWithProjection"),
    "audio_encoder": ("transformers", "ClapAudioModelWithProjection"),
    "scheduler": ("diffusers", "DDIMScheduler"),
}
"""Part of the folder → library and class, as `model_index.json` names them."""
PUBLISHED_PARTS = ("unet", "vae", "vocoder", "text_encoder", "scheduler")


def to_folder(checkpoint: Path, folder: Path, *, architecture: Architecture = AUDIOLDM_S_FULL_V2) -> None:
    """Write the networks of an authors' checkpoint as a diffusers folder, atomically.

    Raises:
        CheckpointError: the checkpoint is not AudioLDM's, or the folder already exists.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} already exists", fix="choose another folder, or remove it")
    source = AuthorsCheckpoint(checkpoint, architecture)
    text = build_text_network(architecture.text).config
    audio = build_audio_network(architecture.audio).config
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(partial / "unet", "diffusion_pytorch_model", source.unet(), "unet")
        _write(partial / "vae", "diffusion_pytorch_model", source.autoencoder(), "vae")
        _write(partial / "vocoder", "model", source.vocoder(), "vocoder")
        _write(partial / "text_encoder", "model", Weights(text.to_dict(), source.text().state), "text_encoder")
        _write(partial / "audio_encoder", "model", Weights(audio.to_dict(), source.audio().state), "audio_encoder")
        scheduler = {"_class_name": "DDIMScheduler", **SCHEDULE, "clip_sample": False}
        scheduler |= {"set_alpha_to_one": False, "steps_offset": 1}
        _write_json(partial / "scheduler" / "scheduler_config.json", scheduler)
        index = {part: list(CLASSES[part]) for part in PUBLISHED_PARTS}
        _write_json(partial / "model_index.json", {"_class_name": "AudioLDMPipeline", **index})
        save_file(_rest(source), partial / REST)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def to_checkpoint(folder: Path, checkpoint: Path) -> None:
    """Write a folder created by `to_folder` as an authors' checkpoint, atomically.

    Raises:
        CheckpointError: the folder lacks the CLAP audio branch, as the published one does, or `rest.safetensors`, so a
            complete checkpoint cannot be written.
    """
    source = DiffusersFolder(folder)
    audio = source.audio()
    if not (folder / REST).is_file():
        raise CheckpointError(
            f"the folder {folder} lacks parts of the authors' checkpoint",
            expected=REST,
            fix="convert a folder that was created from a .ckpt",
        )
    unet, autoencoder, vocoder, text = source.unet(), source.autoencoder(), source.vocoder(), source.text()
    noise = naming.to_published(unet.state, naming.unet_places(unet.state, unet.config))
    state: dict[str, Tensor] = dict(load_file(folder / REST))
    state |= {f"{UNET}{name}": tensor for name, tensor in noise.items()}
    state |= {f"{UNET_AVERAGE}{naming.averaged_name(name)}": tensor for name, tensor in noise.items()}
    places = naming.autoencoder_places(autoencoder.state, autoencoder.config)
    state |= _prefixed(VAE, naming.to_published(autoencoder.state, places))
    state |= _prefixed(VOCODER, naming.to_published(vocoder.state, naming.vocoder_places(vocoder.state)))
    # `rest.safetensors` determines whether the two counters are included
    words = [name for name in text.state if name not in TEXT_CONSTANTS]
    state |= _prefixed(CLAP, naming.to_published(text.state, naming.text_places(words)))
    state |= _prefixed(CLAP, naming.to_published(audio.state, naming.audio_places(audio.state)))
    state[SCALE] = torch.tensor(float(autoencoder.config["scaling_factor"]))
    partial = checkpoint.with_name(f".{checkpoint.name}.partial")
    try:
        torch.save({"state_dict": state}, partial)
        partial.replace(checkpoint)
    finally:
        partial.unlink(missing_ok=True)


def _rest(source: AuthorsCheckpoint) -> dict[str, Tensor]:
    """All tensors that the networks in the folder do not hold."""
    every = {
        UNET: naming.unet_places(names_of(build_unet, source.unet().config), source.unet().config),
        VAE: naming.autoencoder_places(
            names_of(build_autoencoder, source.autoencoder().config), source.autoencoder().config
        ),
        VOCODER: naming.vocoder_places(names_of(build_vocoder, source.vocoder().config)),
        CLAP: naming.text_places(n for n in source.text().state if n not in TEXT_CONSTANTS)
        | naming.audio_places(source.audio().state),
    }
    held = {prefix + place.name for prefix, places in every.items() for place in places.values()}
    held |= {UNET_AVERAGE + naming.averaged_name(name.removeprefix(UNET)) for name in held if name.startswith(UNET)}
    held.add(SCALE)
    return {name: tensor.clone().contiguous() for name, tensor in source.state.items() if name not in held}


def _prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _write(folder: Path, stem: str, weights: Weights, part: str) -> None:
    library, name = CLASSES[part]
    described: dict[str, Any] = {"_class_name": name} if library == "diffusers" else {"architectures": [name]}
    if part == "vocoder":
        described["model_type"] = "hifigan"
    _write_json(folder / "config.json", {**described, **weights.config})
    # safetensors rejects tensors that share memory, such as parts of one matrix
    state = {key: tensor.clone().contiguous() for key, tensor in weights.state.items()}
    save_file(state, folder / f"{stem}.safetensors", metadata={"format": "pt"})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, sort_keys=True, default=list) + "\n")
