"""Sound from pictures and from edits of pictures.

The input is two pictures, the original and its edit, with a click on the removed object and one on the added. The
singular values of the CLIP tokens of both regions are modified, and SSV2A and AudioLDM generate the sound. The names
below are those of the published description; each is imported on first use, so that `import svdaudio` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svdaudio.api import (
        combine_manipulated_embeddings,
        downsample_mask_to_patch_weights,
        extract_full_clip_tokens,
        generate_baseline_audio,
        get_mask,
        hear,
        main_pipeline,
        manipulated_image_to_audio,
        svd_manipulate_embeddings,
        visualize_mask,
    )
    from svdaudio.session import Session

__version__ = "0.1.0"

__all__ = [
    "Session",
    "combine_manipulated_embeddings",
    "downsample_mask_to_patch_weights",
    "extract_full_clip_tokens",
    "generate_baseline_audio",
    "get_mask",
    "hear",
    "main_pipeline",
    "manipulated_image_to_audio",
    "svd_manipulate_embeddings",
    "visualize_mask",
]


_PLACES = {"Session": "svdaudio.session"}
"""Modules of the names that `svdaudio.api` does not define."""


def __getattr__(name: str) -> Any:
    if name == "ssv2a":  # public name of a package in `svdaudio.models`
        return import_module("svdaudio.models.ssv2a")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES.get(name, "svdaudio.api")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
