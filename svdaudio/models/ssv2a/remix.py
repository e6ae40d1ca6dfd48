"""Step 8, from picture to sound: SSV2A turns the global embedding and the objects into one CLAP embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import ConfigError, InputError
from svdaudio.memory_layout import to_tensor
from svdaudio.models.ssv2a import SSV2A

N_SLOTS = 64


@dataclass(frozen=True, kw_only=True)
class RemixSettings:
    """Extent of SSV2A's search for the best CLAP embedding."""

    cycle_its: int = 64
    """Rounds after the first."""
    cycle_samples: int = 64
    """Candidates in each round."""
    var_samples: int = 64
    """Number of draws averaged for each code."""

    def __post_init__(self) -> None:
        """Reject invalid counts."""
        for name, least in (("cycle_its", 0), ("cycle_samples", 1), ("var_samples", 1)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"remix.{name} is too small", expected=f"at least {least}", got=value)


def fill_slots(
    embedding: Float[NDArray[Any], " dim"], objects: Float[NDArray[Any], "n dim"], n_slots: int = N_SLOTS
) -> Float[NDArray[np.float32], "slot dim"]:
    """Fill slot 0 with the global embedding, slots 1… with the objects, the rest with zeros.

    Args:
        embedding: of the whole picture, or the manipulated embedding.
        objects: the most confident first; those beyond the last slot are dropped (SSV2A keeps a random choice).
        n_slots: total number of slots.

    Raises:
        InputError: the shapes do not match.
    """
    if embedding.ndim != 1 or objects.ndim != 2 or objects.shape[1] != len(embedding):
        got = f"{list(embedding.shape)} and {list(objects.shape)}"
        raise InputError("embedding and objects do not match", expected="[dim] and [n, dim]", got=got)
    slots = np.zeros((n_slots, len(embedding)), np.float32)
    slots[0] = embedding
    kept = objects[: n_slots - 1]
    slots[1 : 1 + len(kept)] = kept
    return slots


def remix(
    model: SSV2A,
    *,
    embedding: Float[NDArray[Any], " dim"],
    objects: Float[NDArray[Any], "n dim"],
    settings: RemixSettings,
    generator: torch.Generator,
) -> Float[NDArray[np.float32], " clap"]:
    """The CLAP embedding of a picture's sound, L2-normalised, [512].

    Args:
        model: SSV2A.
        embedding: global CLIP embedding of the picture, or the manipulated embedding.
        objects: CLIP embeddings of the picture's objects.
        settings: of SSV2A's search.
        generator: source of all random numbers.
    """
    device = next(model.parameters()).device
    clips = to_tensor(fill_slots(embedding, objects))[None].to(device)
    clap = model.cycle_mix(
        clips,
        its=settings.cycle_its,
        samples=settings.cycle_samples,
        var_samples=settings.var_samples,
        generator=generator,
    )
    return clap[0].float().cpu().numpy()
