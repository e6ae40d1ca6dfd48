"""The guide: a CLIP of which both sides are used, so that sounds, pictures and texts can be compared in its space.

A guide in this project's own format has a picture tower, and a table of vectors in place of a text tower: it knows the
texts of its table only. Published ones (`svdaudio.models.clip.published`) know any text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from svdaudio.config import check_text
from svdaudio.errors import CheckpointError
from svdaudio.models.clip.encoder import EMBEDDING_DIM, ImageEncoder, build_image_encoder
from svdaudio.svd.images import Pixels
from svdaudio.weights.own import load_module

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

ROLE = "guide"
TEXTS = "classes"
"""Entry of a weight file's `extra` that lists the texts of the table, in order."""

EmbedTexts = Callable[[Sequence[str]], Float[Tensor, "text dim"]]


class GuideNetwork(nn.Module):
    """A picture tower, and the vectors of a few texts in its space.

    Args:
        visual: fields of `svdaudio.models.clip.encoder.ImageEncoderConfig`.
        n_texts: rows of the table.
    """

    texts: Tensor

    def __init__(self, *, visual: Mapping[str, Any], n_texts: int) -> None:
        super().__init__()
        self.visual = build_image_encoder(visual)
        self.register_buffer("texts", torch.zeros(n_texts, visual.get("output_dim", EMBEDDING_DIM)))


class Guide:
    """Embeds pictures and texts as unit vectors of one space.

    Args:
        network: both sides; `visual` is its picture tower.
        embed_texts: its text side; need not return unit vectors.
        texts: those it knows only; empty if it knows any.
    """

    def __init__(self, network: nn.Module, embed_texts: EmbedTexts, *, texts: tuple[str, ...] = ()) -> None:
        self.network = network
        self._pictures = ImageEncoder(cast("VisionTransformer", network.visual))
        self._embed_texts = embed_texts
        self.texts = texts
        self.dim: int = self._pictures.visual.output_dim

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[NDArray[np.float32], "text dim"]:
        """Unit vectors of texts. No texts give [0, dim].

        Raises:
            ConfigError: it does not know one of them, or one is too long.
        """
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        return nn.functional.normalize(self._embed_texts(texts).float(), dim=1).cpu().numpy()

    def embed_pictures(self, pictures: Sequence[Pixels]) -> Float[NDArray[np.float32], "picture dim"]:
        """Unit vectors of pictures of any size, by CLIP's own preprocessing. No pictures give [0, dim]."""
        return self._pictures.embed(pictures)


def load_guide(path: Path, device: str | torch.device = "cpu") -> Guide:
    """Load a guide from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, does not match its own description, or does not
            name as many texts as it has vectors.
    """
    network, header = load_module(path, role=ROLE, build=build_network, device=device)
    texts = tuple(header.extra.get(TEXTS, ()))
    if len(texts) != len(network.texts):
        raise CheckpointError(
            f"the checkpoint {path} does not name its texts",
            expected=f"extra {TEXTS}: {len(network.texts)} texts",
            got=len(texts),
        )

    def look_up(wanted: Sequence[str]) -> Tensor:
        for text in wanted:
            check_text(text, texts)
        return network.texts[[texts.index(text) for text in wanted]]

    return Guide(network, look_up, texts=texts)


def build_network(config: dict[str, Any]) -> GuideNetwork:
    """An untrained network.

    Args:
        config: arguments of `GuideNetwork`.
    """
    return GuideNetwork(**config)
