"""Recognise a file on disk by its digest if that is published, else by its structure. No code in it is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from svdaudio.checkpoints.registry import Published, find, of_format, registry, with_digest
from svdaudio.errors import CheckpointError

_SIGNS: Mapping[str, tuple[str, str]] = {
    "sam2": ("model", "image_encoder.trunk."),
    "panns-cnn14": ("model", "conv_block1."),
    "audioldm-ckpt": ("state_dict", "model.diffusion_model."),
    "sgsim-resnet18": ("", "feature_extractor.layer1."),
}
"""Format → the entry with the state dict, and prefixes of some of its keys."""
CIAP_ENTRIES = frozenset({"backbone.0.weight", "backbone.7.1.bn2.weight"})
_FOLDERS: Mapping[tuple[str, str], str] = {
    ("model_index.json", "AudioLDMPipeline"): "audioldm-diffusers",
    ("config.json", "audio-spectrogram-transformer"): "transformers-ast",
}
"""Index file of a folder, and its content → format."""


def recognise(path: Path, sha256: str | None) -> Published:
    """The published model that a file or folder is or belongs to.

    Args:
        path: a file or a folder.
        sha256: digest of the file; None for a folder.

    Raises:
        CheckpointError: it is not a published model.
    """
    known = with_digest(sha256) if sha256 is not None else None
    if known is not None:
        return known[0]
    format_ = recognise_format(path) or ""
    found = _clip(path) if format_ == "openai-clip" else of_format(format_)
    if found is None:
        raise CheckpointError(
            f"{path} is not a published checkpoint",
            expected=", ".join(file.name for published in registry() for file in published.files[:1]),
            got="a file of another kind",
            fix="run `svdaudio checkpoints list` to see all of them",
        )
    return found


def _clip(path: Path) -> Published:
    """Which of OpenAI's CLIPs a file is, by the size of its patches."""
    from svdaudio.models.clip.published import read_patch_size

    return find("clip-vit-b-32" if read_patch_size(path) == 32 else "clip-vit-l-14")


def recognise_format(path: Path) -> str | None:
    """The format of a file or folder; None if it is unknown."""
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".json":
        return "ssv2a" if {"manifold", "generator", "remixer"} <= _json(path).keys() else None
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return _pickled(path)


def _folder(path: Path) -> str | None:
    for (index, named), format_ in _FOLDERS.items():
        described = _json(path / index)
        if named in (described.get("_class_name"), described.get("model_type")):
            return format_
    return None


def _safetensors(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return _state_format({"": dict.fromkeys(file.keys())})
    except (SafetensorError, OSError):
        return None


def _pickled(path: Path) -> str | None:
    from svdaudio.weights.reading import Shell, read_inert, read_torchscript
    from svdaudio.weights.torch_files import is_torchscript

    try:
        if is_torchscript(path):
            return _state_format({"": read_torchscript(path)})
        contents = read_inert(path)
    except CheckpointError:
        return None
    for entry in ("ema", "model"):
        network: object = contents.get(entry)
        if isinstance(network, Shell) and network.named.startswith("ultralytics."):
            return "ultralytics"
    if {"manifold_state", "generator_state", "remixer_state"} <= contents.keys():
        return "ssv2a"
    return _state_format({"": contents, **contents})


def _state_format(contents: Mapping[str, Any]) -> str | None:
    for format_, (entry, start) in _SIGNS.items():
        state = contents.get(entry)
        if isinstance(state, Mapping) and any(
            str(key).removeprefix("module.").startswith(start) for key in cast("Mapping[Any, Any]", state)
        ):
            return format_
    for entry in ("", "state_dict", "model_state_dict"):
        state = contents.get(entry)
        if (
            isinstance(state, Mapping)
            and {str(key).removeprefix("module.") for key in cast("Mapping[Any, Any]", state)} >= CIAP_ENTRIES
        ):
            return "ciap-resnet18"
        if isinstance(state, Mapping) and "visual.class_embedding" in {
            str(key).removeprefix("module.") for key in cast("Mapping[Any, Any]", state)
        }:
            return "openai-clip"
    return None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        # A pipe could block.
        found: object = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
