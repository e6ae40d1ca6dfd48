"""Step 2: all 257 CLIP tokens of a picture, in the space of CLIP's image embedding.

CLIP projects only its class token. Here every token of the last block goes through `ln_post` and the projection,
so that patches can be compared and mixed with whole pictures. The network is open_clip's own class at any size:
`ImageEncoderConfig` describes ViT-L/14 with QuickGELU as well as small networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from svdaudio.process_state import kept_process_state
from svdaudio.svd.geometry import INPUT_SIZE_PX, Geometry, fit_image
from svdaudio.svd.images import Pixels
from svdaudio.weights.own import load_module

with kept_process_state():
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from open_clip.transformer import QuickGELU, VisionTransformer

ROLE = "image_encoder"
N_TOKENS = 257
EMBEDDING_DIM = 768


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """Shape of a CLIP vision transformer. The defaults are ViT-L/14 as OpenAI trained it."""

    image_size: int = INPUT_SIZE_PX
    patch_size: int = 14
    width: int = 1024
    layers: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    output_dim: int = EMBEDDING_DIM
    quick_gelu: bool = True


class ImageTokens(NamedTuple):
    """The image encoder's output for one picture."""

    tokens: Float[NDArray[np.float32], "257 768"]
    """CLS, then the 16 x 16 patches row by row; each L2-normalised."""
    embedding: Float[NDArray[np.float32], " 768"]
    """CLIP's ordinary image embedding, with CLIP's own preprocessing; L2-normalised."""


def build_image_encoder(config: Mapping[str, Any]) -> VisionTransformer:
    """An untrained vision transformer of open_clip.

    Args:
        config: fields of `ImageEncoderConfig`; the defaults are those of ViT-L/14.

    Raises:
        TypeError: unknown field.
    """
    shape = asdict(ImageEncoderConfig(**config))
    act_layer = QuickGELU if shape.pop("quick_gelu") else nn.GELU
    return VisionTransformer(**shape, act_layer=act_layer)


def project_tokens(
    visual: VisionTransformer, images: Float[Tensor, "batch 3 size size"]
) -> Float[Tensor, "batch token dim"]:
    """Every token of the last block after `ln_post` and the projection, not normalised, with gradients if enabled.

    The first token is what open_clip's `visual(images)` returns: CLIP's image embedding before normalisation.

    Args:
        visual: the vision transformer.
        images: pictures normalised with CLIP's mean and standard deviation (`normalise_pixels`).
    """
    seen = visual.forward_intermediates(
        images,
        indices=1,
        normalize_intermediates=True,
        intermediates_only=True,
        output_fmt="NLC",
        output_extra_tokens=True,
    )
    tokens = torch.cat([seen["image_intermediates_prefix"][-1], seen["image_intermediates"][-1]], dim=1)
    return tokens @ _projection(visual)


def _projection(visual: VisionTransformer) -> nn.Parameter:
    """The projection, which open_clip declares optional because truncated networks lack it."""
    return cast("nn.Parameter", visual.proj)


def normalise_pixels(images: UInt8[Tensor, "batch size size 3"]) -> Float[Tensor, "batch 3 size size"]:
    """Pixels in CLIP's input format: scaled to 0..1, then CLIP's mean and standard deviation, channels first."""
    scaled = images.permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(OPENAI_DATASET_MEAN, device=images.device).view(1, 3, 1, 1)
    deviation = torch.tensor(OPENAI_DATASET_STD, device=images.device).view(1, 3, 1, 1)
    return (scaled - mean) / deviation


class ImageEncoder:
    """Encodes pictures as CLIP tokens and embeddings. All outputs are L2-normalised float32."""

    def __init__(self, visual: VisionTransformer) -> None:
        self.visual = visual.eval()
        self.size_px: int = cast("tuple[int, int]", visual.image_size)[0]

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return _projection(self.visual).device

    def tokens(self, pixels: Pixels, geometry: Geometry) -> ImageTokens:
        """All tokens of one picture in a geometry, and its embedding, which always uses CLIP's own geometry."""
        tokens = self.token_batch([pixels], geometry)[0]
        # In CLIP's geometry the class token equals the embedding up to rounding, but must not replace it: the embedding
        # must have the same bits in every geometry.
        return ImageTokens(tokens, self.embed([pixels])[0])

    def token_batch(
        self, images: Sequence[Pixels], geometry: Geometry, batch_size: int = 8
    ) -> Float[NDArray[np.float32], "image token dim"]:
        """All tokens of several pictures, [n, 257, 768]; sizes may differ."""
        return self._in_batches(images, geometry, batch_size, partial(project_tokens, self.visual))

    def embed(self, images: Sequence[Pixels], batch_size: int = 16) -> Float[NDArray[np.float32], "image dim"]:
        """CLIP's ordinary image embeddings, [n, 768], with CLIP's own preprocessing; [0, 768] without pictures."""
        if not images:
            return np.zeros((0, self.visual.output_dim), np.float32)
        return self._in_batches(images, Geometry.CROP, batch_size, self.visual)

    @torch.inference_mode()
    def encode(
        self, images: Float[Tensor, "image 3 size size"], batch_size: int = 8
    ) -> Float[NDArray[np.float32], "image token dim"]:
        """All tokens of pictures that already have the encoder's size and CLIP's normalisation."""
        batches = (batch.to(self.device).float() for batch in images.split(batch_size))
        return torch.cat([_unit(project_tokens(self.visual, batch)) for batch in batches]).numpy()

    @torch.inference_mode()
    def _in_batches(
        self, images: Sequence[Pixels], geometry: Geometry, batch_size: int, network: Callable[[Tensor], Tensor]
    ) -> NDArray[np.float32]:
        parts: list[Tensor] = []
        for start in range(0, len(images), batch_size):
            squares = np.stack(
                [fit_image(pixels, geometry, self.size_px) for pixels in images[start : start + batch_size]]
            )
            parts.append(_unit(network(normalise_pixels(torch.from_numpy(squares).to(self.device)))))
        return torch.cat(parts).numpy()


def _unit(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=-1).cpu()


def load_image_encoder(path: Path, device: str | torch.device = "cpu") -> ImageEncoder:
    """Load an image encoder from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    visual, _ = load_module(path, role=ROLE, build=build_image_encoder, device=device)
    return ImageEncoder(visual)
