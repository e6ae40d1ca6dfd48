"""SAM 2.1 as published: `{"model": state dict}`, saved by torch, float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from svdaudio.errors import CheckpointError
from svdaudio.models.sam2.segmenter import ROLE, Segmenter, build_segmenter
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import fill, names, read_plain
from svdaudio.weights.torch_files import is_archive

HIERA_L: Mapping[str, Any] = {}
"""Overrides of `SegmenterConfig`: none."""


def load_segmenter(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    digest: str | None = None,
    config: Mapping[str, Any] = HIERA_L,
) -> Segmenter:
    """Load a segmenter from a published SAM 2.1, including the video memory.

    Args:
        path: the published file.
        device: target device.
        digest: sha256 of the file, if it has been checked.
        config: fields of `SegmenterConfig`, for another size than Hiera-L.

    Raises:
        CheckpointError: the file is missing or damaged, lacks an entry or has an extra one.
    """
    # torch maps a file of its current format itself: a quick copy would only duplicate the bytes.
    kept = None if is_archive(path) else digest
    weights = cached(path, name=ROLE, digest=kept, read=lambda: _read(path))
    model = fill(lambda: build_segmenter(config), weights.tensors, path)
    return Segmenter(model.requires_grad_(False).to(device), takes_boxes=True)


def _read(path: Path) -> Weights:
    contents = read_plain(path)
    state = contents.get("model")
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} is not a SAM 2 checkpoint", expected="'model' in it", got=names(contents))
    return Weights(tensors=cast("Mapping[str, torch.Tensor]", state))
