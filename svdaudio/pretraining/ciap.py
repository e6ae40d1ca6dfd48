"""Trains CIAP on a user's pairs: its image encoder learns to match a frozen CLAP's embeddings of the sounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from svdaudio.models.ciap.encoder import ROLE, CiapImageEncoder, CiapNetwork, as_input, unit
from svdaudio.pretraining.checks import Checked
from svdaudio.pretraining.clips import fit_length
from svdaudio.pretraining.data_sets import Split
from svdaudio.pretraining.feed import Place
from svdaudio.pretraining.frozen import FrozenVectors, Progress
from svdaudio.pretraining.initial import set_initial_weights
from svdaudio.pretraining.losses import contrastive
from svdaudio.pretraining.ranks import Ranks
from svdaudio.pretraining.retrieval import Recall, both_ways
from svdaudio.pretraining.settings import CiapSettings
from svdaudio.pretraining.subject import Forward, batch_targets
from svdaudio.sounds.reading import read_sound
from svdaudio.svd.geometry import Geometry, fit_image
from svdaudio.svd.images import Pixels, load_image

_AT_ONCE = 32


class SoundEmbedder(Protocol):
    """The frozen side: a CLAP's audio encoder."""

    def embed(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch 512"]:
        """Unit vectors of sounds."""
        ...


class CiapSubject:
    """The training of CIAP's image encoder on pictures and the embeddings of their sounds.

    Args:
        settings: of the training.
        data: items with pictures.
        split: the items to train on and to hold out.
        heard: embeddings of the sounds, from `embed_sounds`.
    """

    terms: tuple[str, ...] = ("contrastive", "cosine")

    def __init__(
        self,
        settings: CiapSettings,
        data: Checked,
        split: Split,
        heard: Float[NDArray[np.float32], "item crop 512"],
    ) -> None:
        self._settings, self._items, self._split = settings, data.items, split
        self._heard = torch.from_numpy(heard)
        self._labels = [frozenset(item.labels) for item in data.items]
        self.config: dict[str, Any] = {
            "widths": list(settings.network.widths), "image_size": settings.network.image_size,
        }  # fmt: skip
        network = CiapNetwork(**self.config)
        set_initial_weights(network, network.backbone, settings.init, role=ROLE, config=self.config, seed=settings.seed)
        self.network: nn.Module = network

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        """A training picture, [3, side, side] float32."""
        pixels = random_crop(
            self._pixels(index), rng, flip=self._settings.image.flip, least_share=self._settings.image.least_share
        )
        size_px = self._settings.network.image_size
        square = fit_image(pixels, Geometry.SQUASH, size_px, Image.Resampling.BILINEAR)
        return {"picture": as_input(square[None])[0].numpy()}

    def losses(
        self, forward: Forward, batch: Mapping[str, Tensor], places: Sequence[Place], ranks: Ranks
    ) -> dict[str, Tensor]:
        """Contrastive loss of pictures and sounds, and 1 - cosine of each pair."""
        settings = self._settings
        seen = ranks.gathered(unit(forward(batch["picture"])))
        crops = [self._crop(*place) for place in places]
        heard = self._heard[[index for _, index in places], crops].to(seen.device)
        targets = batch_targets(settings, heard, [self._labels[index] for _, index in places])
        loss = contrastive(seen, heard, scale=1 / settings.temperature, targets=targets)
        return {
            "contrastive": settings.loss.contrastive * loss,
            "cosine": settings.loss.cosine * (1 - (seen * heard).sum(dim=1)).mean(),
        }

    def _crop(self, epoch: int, index: int) -> int:
        """Index of the part of an item's sound that an epoch uses."""
        n_crops = self._heard.shape[1]
        return int(np.random.default_rng((self._settings.seed, epoch, index, 1)).integers(n_crops))

    def measure(self, network: nn.Module, *, with_intervals: bool) -> list[Recall]:
        """Retrieval figures of the held-out pairs."""
        chosen = self._split.held_out
        if not chosen:
            return []
        assert isinstance(network, CiapNetwork)
        encoder = CiapImageEncoder(network.eval())
        seen = [
            encoder.embed([self._pixels(index) for index in chosen[first : first + _AT_ONCE]], Geometry.SQUASH)
            for first in range(0, len(chosen), _AT_ONCE)
        ]
        return both_ways(
            np.concatenate(seen),
            self._heard[list(chosen), 0].numpy(),
            names=("picture", "sound"),
            groups=[self._items[index].group for index in chosen],
            labels=[self._labels[index] for index in chosen],
            with_intervals=with_intervals,
        )

    def _pixels(self, index: int) -> Pixels:
        picture = self._items[index].picture
        assert picture is not None, "items without pictures were rejected"
        return load_image(picture)


def random_crop(pixels: Pixels, rng: np.random.Generator, *, flip: bool, least_share: float) -> Pixels:
    """A random part of a picture with the same proportions, perhaps mirrored.

    Args:
        pixels: the picture.
        rng: draws size, position and mirroring.
        flip: whether to mirror half of the pictures.
        least_share: smallest share of the area to keep.
    """
    side = float(np.sqrt(rng.uniform(least_share, 1.0)))
    height, width = (max(1, round(side * length)) for length in pixels.shape[:2])
    top, left = int(rng.integers(pixels.shape[0] - height + 1)), int(rng.integers(pixels.shape[1] - width + 1))
    part = pixels[top : top + height, left : left + width]
    return part[:, ::-1] if flip and rng.random() < 0.5 else part


def embed_sounds(
    encoder: Callable[[], SoundEmbedder],
    digest: str,
    data: Checked,
    settings: CiapSettings,
    *,
    folder: Path,
    progress: Progress,
) -> Float[NDArray[np.float32], "item crop 512"]:
    """The frozen side: embeddings of parts of all sounds, cached on disk.

    Args:
        encoder: loads the audio encoder; called if any embedding is missing.
        digest: sha256 of its weights.
        data: the items.
        settings: length, position and number of the parts.
        folder: of the cache.
        progress: receives the number of computed embeddings and the total.
    """
    sound = settings.sound
    seeds = range(sound.n_crops) if sound.place == "random" else (0,)
    parts = [(index, seed) for index in range(len(data.items)) for seed in seeds]
    loaded: list[SoundEmbedder] = []

    def make(places: Sequence[int]) -> NDArray[np.float32]:
        if not loaded:
            loaded.append(encoder())
        rows: list[NDArray[np.float32]] = []
        for index, seed in (parts[place] for place in places):
            waveform, rate_hz = read_sound(data.items[index].sound)
            drawn = int(data.facts[index].sound_sha256[:12], 16)
            rng = np.random.default_rng((settings.seed, drawn, seed))
            part = fit_length(waveform, round(sound.duration_s * rate_hz), place=sound.place, rng=rng)
            rows.append(loaded[0].embed(torch.from_numpy(part)[None], rate_hz).cpu().numpy())
        return np.concatenate(rows)

    keys = [f"{data.facts[index].sound_sha256} {seed}" for index, seed in parts]
    drawn_by = settings.seed if sound.place == "random" else ""
    source = f"sounds {digest} {sound.duration_s:g} {sound.place} {drawn_by}"
    found = FrozenVectors(folder, source).get(keys, make, progress)
    return found.reshape(len(data.items), len(seeds), -1)
