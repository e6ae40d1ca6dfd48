"""Checkpoints of made-up weights in the published formats: right names, shapes and containers, arbitrary numbers."""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from made_up import made_up_tensor
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from svdaudio.models.clip.guide import GuideNetwork
from svdaudio.models.sam2.segmenter import build_segmenter
from svdaudio.models.sound_clip.encoder import SoundEncoderNetwork
from svdaudio.models.ssv2a import SSV2A, Config
from svdaudio.models.taggers.audioset import audioset_names
from svdaudio.models.taggers.cnn14 import Cnn14
from svdaudio.models.yolo.detector import build_detector
from svdaudio.weights.own import Header, save_weights
from svdaudio.weights.reading import fill

SMALL_SAM = {
    "image_size": 128, "embed_dim": 16, "num_heads": 1, "stages": (1, 1, 2, 1), "global_att_blocks": (3,),
    "window_spec": (8, 4, 8, 4), "d_model": 32, "memory_layers": 1, "memory_feedforward": 32, "memory_dim": 16,
}  # fmt: skip
"""A SAM 2.1 that is small enough for tests."""


def made_up_state(module: nn.Module) -> dict[str, Tensor]:
    """The entries of a module (which may be on the meta device), filled by their names."""
    state: dict[str, Tensor] = {}
    for key, value in module.state_dict().items():
        if not value.is_floating_point():
            state[key] = torch.ones(value.shape, dtype=value.dtype)
        elif key.endswith("running_var"):
            state[key] = 1 + 0.1 * made_up_tensor(key, value.shape).abs()
        else:
            state[key] = made_up_tensor(key, value.shape)
    return state


def clip(
    *,
    width: int = 1024,
    layers: int = 24,
    text_width: int = 768,
    text_layers: int = 12,
    patch_size: int = 14,
    dim: int = 768,
) -> CLIP:
    """An open_clip CLIP for pictures of 224 px; by default ViT-L/14. Heads are 64 wide, as in OpenAI's models."""
    vision = CLIPVisionCfg(layers=layers, width=width, patch_size=patch_size, image_size=224)
    text = CLIPTextCfg(
        context_length=77, vocab_size=49408, width=text_width, heads=max(text_width // 64, 1), layers=text_layers
    )
    with torch.device("meta"):
        shapes = CLIP(dim, vision, text, quick_gelu=True)
    return fill(lambda: CLIP(dim, vision, text, quick_gelu=True), made_up_state(shapes), Path())


class _Tree(nn.Module):
    """A module without computations, for a TorchScript archive with the entries of another module."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def write_clip_archive(path: Path, model: CLIP) -> None:
    """Write CLIP as OpenAI publishes it: a TorchScript archive, weights in half precision, and three numbers."""
    entries: dict[str, Tensor] = {key: value.detach().half() for key, value in model.state_dict().items()}
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    entries |= {key: torch.tensor(value) for key, value in numbers.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(clip_tree(entries).eval()), path)


def clip_tree(entries: Mapping[str, Tensor]) -> nn.Module:
    """A module whose state dict is `entries`."""
    root = _Tree()
    for key, value in entries.items():
        *folders, name = key.split(".")
        place: nn.Module = root
        for folder in folders:
            if folder not in dict(place.named_children()):
                place.add_module(folder, _Tree())
            place = place.get_submodule(folder)
        if value.is_floating_point():
            place.register_parameter(name, nn.Parameter(value, requires_grad=False))
        else:
            place.register_buffer(name, value)
    return root


def write_sam2(path: Path, config: Mapping[str, Any]) -> None:
    """Write SAM 2.1 as it is published."""
    torch.save({"model": made_up_state(build_segmenter(config))}, path)


def yolo(*, scale: str = "x", names: Mapping[int, str]) -> nn.Module:
    """A YOLOv8 of ultralytics with made-up weights."""
    model = build_detector({"scale": scale, "n_classes": len(names)})
    state = made_up_state(model)
    # The last step of the head averages with fixed weights.
    dfl = next(key for key in state if key.endswith("dfl.conv.weight"))
    state[dfl] = model.state_dict()[dfl]
    model.load_state_dict(state, strict=True)
    model.names = dict(names)
    return model.eval()


def open_images_names() -> dict[int, str]:
    """The 601 classes of Open Images V7, as ultralytics lists them."""
    from ultralytics.utils import ROOT, YAML

    described: Any = YAML.load(str(ROOT / "cfg" / "datasets" / "open-images-v7.yaml"))
    return described["names"]


def write_yolo(path: Path, model: nn.Module, **also: Any) -> None:
    """Write YOLO as ultralytics publishes it: a pickled network in half precision, with leftovers of training."""
    contents = {
        "epoch": -1, "best_fitness": None, "model": model.half(), "ema": None, "updates": None, "optimizer": None,
        "train_args": {"imgsz": 640, "task": "detect", "data": "open-images-v7.yaml"}, "date": "2023-01-01T00:00:00",
        "version": "8.0.0",
    }  # fmt: skip
    torch.save({**contents, **also}, path)


def write_ssv2a(folder: Path, config: Config) -> Path:
    """Write SSV2A as it is published: ssv2a.pth, and ssv2a.json next to it."""
    with torch.device("meta"):
        shapes = SSV2A(config)
    state = made_up_state(shapes)
    parts: dict[str, Any] = {"timestamp": "2024"}
    for part in ("manifold", "generator", "remixer"):
        parts[f"{part}_state"] = {
            key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")
        }
    torch.save(parts, folder / "ssv2a.pth")
    (folder / "ssv2a.json").write_text(json.dumps(config.to_dict() | {"audioldm_version": "audioldm-s-full-v2"}))
    return folder / "ssv2a.pth"


@functools.cache
def cnn14_state() -> dict[str, Tensor]:
    """Entries of PANNs' Cnn14, with its own spectrogram and mel filters. Cached; do not modify."""
    from torchaudio.functional import melscale_fbanks

    with torch.device("meta"):
        shapes = Cnn14()
    state = made_up_state(shapes)
    time = torch.arange(1024, dtype=torch.float64)
    angle = -2 * torch.pi * torch.outer(torch.arange(513, dtype=torch.float64), time) / 1024
    window = torch.hann_window(1024, dtype=torch.float64)
    state["spectrogram_extractor.stft.conv_real.weight"] = (angle.cos() * window).float().unsqueeze(1)
    state["spectrogram_extractor.stft.conv_imag.weight"] = (angle.sin() * window).float().unsqueeze(1)
    state["logmel_extractor.melW"] = melscale_fbanks(513, 50.0, 14_000.0, 64, 32_000, norm="slaney", mel_scale="slaney")
    # Decibels are far from the normal numbers that the layers below are made up for.
    state["bn0.running_mean"], state["bn0.running_var"] = torch.full((64,), -20.0), torch.full((64,), 400.0)
    return state


def write_cnn14(path: Path, *, old_format: bool = False) -> None:
    """Write PANNs' Cnn14 as it is published."""
    torch.save({"model": cnn14_state()}, path, _use_new_zipfile_serialization=not old_format)


def write_sgsim(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """Write the sound encoder of Sound-Guided Semantic Image Manipulation as it is published; return its entries.

    Args:
        path: of the file.
        prefix: before every name, "module." if it was trained on several GPUs.
    """
    with torch.device("meta"):
        shapes = SoundEncoderNetwork()
    state = made_up_state(shapes)
    torch.save({f"{prefix}{key}": value for key, value in state.items()}, path)
    return state


def write_ciap(path: Path, *, older: bool = False) -> dict[str, Tensor]:
    """Write an image encoder as CIAP's programs save it; return its entries.

    Args:
        path: of the file.
        older: use the form whose projection is `fc`, without a layer norm.
    """
    with torch.device("meta"):
        backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
        head = {"fc": nn.Linear(512, 512)} if older else {"proj": nn.Linear(512, 512), "ln": nn.LayerNorm(512)}
        network = nn.ModuleDict({"backbone": backbone, **head})
    state = made_up_state(network)
    torch.save(state, path)
    return state


def write_ast(folder: Path, **shape: Any) -> None:
    """Write an Audio Spectrogram Transformer as on the Hugging Face Hub; `shape` changes its size."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    names = dict(enumerate(audioset_names()))
    config = ASTConfig(id2label=names, label2id={name: index for index, name in names.items()}, **shape)
    model = ASTForAudioClassification(config)
    model.load_state_dict(made_up_state(model), strict=True)
    model.save_pretrained(folder)
    ASTFeatureExtractor().save_pretrained(folder)


def write_hearing_bundle(folder: Path, labels: Sequence[str], *, n_dims: int = 24) -> Path:
    """Write a bundle of a small sound encoder and a small guide, in this project's format.

    Args:
        folder: of the bundle.
        labels: the texts that the guide knows.
        n_dims: dimensions of the sound encoder's space; the guide's has 24.
    """
    visual = {"width": 32, "layers": 1, "heads": 2, "image_size": 56, "output_dim": 24}
    networks: dict[str, tuple[nn.Module, dict[str, Any], dict[str, Any]]] = {}
    config: dict[str, Any] = {"widths": [4, 4, 8, 8], "n_dims": n_dims}
    networks["sound_encoder"] = SoundEncoderNetwork(**config), config, {"preset": "corrected"}
    config = {"visual": visual, "n_texts": len(labels)}
    networks["guide"] = GuideNetwork(**config), config, {"classes": list(labels)}
    models: dict[str, Any] = {}
    for role, (network, config, extra) in networks.items():
        header = Header(
            role=role, architecture="made up", config=config, recipe="made up", recipe_version=1, extra=extra
        )
        path = folder / f"{role}.safetensors"
        save_weights(path, made_up_state(network), header)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        models[role] = {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}
    models["guide"]["classes"] = list(labels)
    (folder / "bundle.json").write_text(json.dumps({"title": "made up", "settings": {}, "models": models}))
    return folder
