"""The guide: a CLIP with both towers, in whose space sounds, pictures and texts can be compared.

A guide in this project's own format has an image tower, and a table of vectors in place of a text tower: it knows only
the texts in its table. Published guides (`svdaudio.models.clip.published`) embed any text.
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
    """An image tower, and the vectors of a few texts in its space.

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
        network: both towers; `visual` is its image tower.
        embed_texts: the text tower; need not return unit vectors.
        texts: the only texts that it knows; empty if it embeds any text.
    """

    def __init__(self, network: nn.Module, embed_texts: EmbedTexts, *, texts: tuple[str, ...] = ()) -> None:
        self.network = network
        self._pictures = ImageEncoder(cast("VisionTransformer", network.visual))
        self._embed_texts = embed_texts
        self.texts = texts
        self.dim: int = self._pictures.visual.output_dim

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[NDArray[np.float32], "text dim"]:
        """Unit vectors of texts; [0, dim] without texts.

        Raises:
            ConfigError: a text is unknown or too long.
        """
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        return nn.functional.normalize(self._embed_texts(texts).float(), dim=1).cpu().numpy()

    def embed_pictures(self, pictures: Sequence[Pixels]) -> Float[NDArray[np.float32], "picture dim"]:
        """Unit vectors of pictures of any size, with CLIP's own preprocessing; [0, dim] without pictures."""
        return self._pictures.embed(pictures)


def load_guide(path: Path, device: str | torch.device = "cpu") -> Guide:
    """Load a guide from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, does not match its own description, or does not
            name as many texts as it has vectors.
    """
    network, header = load_module(path, role=ROLE, build=lambda config: GuideNetwork(**config), device=device)
    texts = tuple(header.extra.get(TEXTS, ()))
    if len(texts) != len(network.texts):
        raise CheckpointError(
            f"the checkpoint {path} does not name its texts",
            expected=f"extra {TEXTS}: {len(network.texts)} texts",
            got=len(texts),
        )

    def embed_texts(names: Sequence[str]) -> Tensor:
        for name in names:
            check_text(name, texts)
        return network.texts[[texts.index(name) for name in names]]

    return Guide(network, embed_texts, texts=texts)
