"""CIAP on a user's pairs: only the image encoder is trained, towards the frozen CLAP's embeddings of the sounds."""

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
from svdaudio.pretraining.clips import fitted
from svdaudio.pretraining.data_sets import Split
from svdaudio.pretraining.feed import Place
from svdaudio.pretraining.frozen import FrozenVectors, Progress
from svdaudio.pretraining.initial import fill
from svdaudio.pretraining.losses import contrastive
from svdaudio.pretraining.ranks import Ranks
from svdaudio.pretraining.retrieval import Recall, both_ways
from svdaudio.pretraining.settings import CiapSettings
from svdaudio.pretraining.subject import Forward, answers
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
    """Pictures, and the embeddings of their sounds.

    Args:
        settings: of the training.
        data: items with pictures.
        split: which of them are held out.
        heard: embeddings of the sounds, as `embed_sounds` makes them.
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
        fill(network, network.backbone, settings.init, role=ROLE, config=self.config, seed=settings.seed)
        self.network: nn.Module = network

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        """A training picture, [3, side, side] float32."""
        pixels = varied(
            self._pixels(index), rng, flip=self._settings.image.flip, least_share=self._settings.image.least_share
        )
        size_px = self._settings.network.image_size
        square = fit_image(pixels, Geometry.SQUASH, size_px, Image.Resampling.BILINEAR)
        return {"picture": as_input(square[None])[0].numpy()}

    def losses(
        self, forward: Forward, batch: Mapping[str, Tensor], places: Sequence[Place], ranks: Ranks
    ) -> dict[str, Tensor]:
        """Contrastive loss of pictures and sounds, and one minus the cosine of partners."""
        settings = self._settings
        seen = ranks.gathered(unit(forward(batch["picture"])))
        crops = [self._crop(*place) for place in places]
        heard = self._heard[[index for _, index in places], crops].to(seen.device)
        right = answers(settings, heard, [self._labels[index] for _, index in places])
        apart = contrastive(seen, heard, scale=1 / settings.temperature, targets=right)
        return {
            "contrastive": settings.loss.contrastive * apart,
            "cosine": settings.loss.cosine * (1 - (seen * heard).sum(dim=1)).mean(),
        }

    def _crop(self, epoch: int, index: int) -> int:
        """Which part of an item's sound an epoch uses."""
        n_crops = self._heard.shape[1]
        return int(np.random.default_rng((self._settings.seed, epoch, index, 1)).integers(n_crops))

    def measure(self, network: nn.Module, *, with_intervals: bool) -> list[Recall]:
        """Retrieval among the held-out pairs."""
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
        assert picture is not None, "items without pictures were refused"
        return load_image(picture)


def varied(pixels: Pixels, rng: np.random.Generator, *, flip: bool, least_share: float) -> Pixels:
    """A random part of a picture with its proportions, perhaps mirrored.

    Args:
        pixels: the picture.
        rng: draws size, place and mirroring.
        flip: whether half of the pictures are mirrored.
        least_share: smallest part of the area.
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
    """The frozen side: embeddings of parts of all sounds, from disk as far as they are there.

    Args:
        encoder: loads the audio encoder; called if anything is missing.
        digest: sha256 of its weights.
        data: the items.
        settings: length, place and number of the parts.
        folder: of the cache.
        progress: receives how many were computed, of how many.
    """
    sound = settings.sound
    seeds = range(sound.n_crops) if sound.place == "random" else (0,)
    wanted = [(index, seed) for index in range(len(data.items)) for seed in seeds]
    loaded: list[SoundEmbedder] = []

    def make(places: Sequence[int]) -> NDArray[np.float32]:
        if not loaded:
            loaded.append(encoder())
        rows: list[NDArray[np.float32]] = []
        for index, seed in (wanted[place] for place in places):
            waveform, rate_hz = read_sound(data.items[index].sound)
            drawn = int(data.facts[index].sound_sha256[:12], 16)
            rng = np.random.default_rng((settings.seed, drawn, seed))
            part = fitted(waveform, round(sound.duration_s * rate_hz), place=sound.place, rng=rng)
            rows.append(loaded[0].embed(torch.from_numpy(part)[None], rate_hz).cpu().numpy())
        return np.concatenate(rows)

    keys = [f"{data.facts[index].sound_sha256} {seed}" for index, seed in wanted]
    drawn_by = settings.seed if sound.place == "random" else ""
    source = f"sounds {digest} {sound.duration_s:g} {sound.place} {drawn_by}"
    found = FrozenVectors(folder, source).get(keys, make, progress)
    return found.reshape(len(data.items), len(seeds), -1)
