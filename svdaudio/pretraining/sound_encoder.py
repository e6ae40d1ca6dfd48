"""Trains the sound encoder on a user's sounds, to match a frozen CLIP's embeddings of their labels and pictures.

The terms are those of Sound-Guided Semantic Image Manipulation (Lee et al. 2022): sound against text, sound against
picture, sound against its second view. The loss is their weighted mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.errors import InputError
from svdaudio.models.sound_clip.encoder import ROLE, SoundEncoderNetwork
from svdaudio.models.sound_clip.spectrogram import Place as PlaceInPicture
from svdaudio.models.sound_clip.spectrogram import mel_image
from svdaudio.pretraining.checks import Checked
from svdaudio.pretraining.clips import fit_length
from svdaudio.pretraining.data_sets import Split
from svdaudio.pretraining.feed import Place
from svdaudio.pretraining.frozen import FrozenVectors, Progress
from svdaudio.pretraining.initial import set_initial_weights
from svdaudio.pretraining.losses import contrastive
from svdaudio.pretraining.ranks import Ranks
from svdaudio.pretraining.retrieval import Recall, both_ways, has_label, recall
from svdaudio.pretraining.settings import SoundEncoderSettings, TextSettings
from svdaudio.pretraining.spec_augment import mask_spectrogram
from svdaudio.pretraining.subject import Forward, batch_targets
from svdaudio.pretraining.text_augment import Synonyms, variant
from svdaudio.sounds.reading import read_sound
from svdaudio.svd.images import Pixels, load_image

_AT_ONCE = 32
_LEAST_PAIRS = 2
"""Fewest pairs of a contrastive loss, which compares a pair with others."""


class Guide(Protocol):
    """The frozen side: a CLIP with both towers."""

    dim: int
    texts: tuple[str, ...]

    def embed_texts(self, texts: Sequence[str]) -> Float[NDArray[np.float32], "text dim"]:
        """Unit vectors of texts."""
        ...

    def embed_pictures(self, pictures: Sequence[Pixels]) -> Float[NDArray[np.float32], "picture dim"]:
        """Unit vectors of pictures."""
        ...


@dataclass(frozen=True, kw_only=True)
class GuideEmbeddings:
    """The frozen side: embeddings of texts and pictures by the guide."""

    names: tuple[str, ...]
    """All labels."""
    texts: Float[NDArray[np.float32], "label variant dim"]
    """Embeddings of the variants of each label's text; the first is the text itself."""
    pictures: Float[NDArray[np.float32], "item dim"]
    """Embedding of each item's picture; zeros if it has none."""


class SoundSubject:
    """The training of the sound encoder on sounds and the guide's embeddings of their labels and pictures.

    Args:
        settings: of the training.
        data: items with labels, pictures or both.
        split: the items to train on and to hold out.
        guided: embeddings of labels and pictures, from `embed_with_guide`.
    """

    terms: tuple[str, ...] = ("text", "picture", "view")

    def __init__(self, settings: SoundEncoderSettings, data: Checked, split: Split, guided: GuideEmbeddings) -> None:
        self._settings, self._items, self._split, self._guided = settings, data.items, split, guided
        self._labels = [frozenset(item.labels) for item in data.items]
        self._pictures = torch.from_numpy(guided.pictures)
        self._texts = torch.from_numpy(guided.texts)
        self._numbers = {name: number for number, name in enumerate(guided.names)}
        self._weights = settings.loss.model_dump()
        n_dims = guided.pictures.shape[1]
        self.config: dict[str, Any] = {"widths": list(settings.network.widths), "n_dims": n_dims}
        network = SoundEncoderNetwork(**self.config)
        set_initial_weights(
            network, network.feature_extractor, settings.init, role=ROLE, config=self.config, seed=settings.seed
        )
        self.network: nn.Module = network

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        """Both views of a sound, [1, 128, 512] float32; the second one is masked, or shows another part."""
        sound, spec = self._settings.sound, self._settings.spec_augment
        first = self._mel_image(index, rng, place=sound.place)
        if not self._settings.loss.view:
            return {"sound": first}
        second = first if spec.rounds else self._mel_image(index, rng, place=sound.place)
        return {
            "sound": first,
            "view": mask_spectrogram(second, rng, rounds=spec.rounds, columns=spec.columns, rows=spec.rows),
        }

    def _mel_image(
        self, index: int, rng: np.random.Generator, *, place: PlaceInPicture
    ) -> Float[NDArray[np.float32], "1 128 512"]:
        waveform, rate_hz = read_sound(self._items[index].sound)
        n_samples = round(self._settings.sound.duration_s * rate_hz)
        if len(waveform) > n_samples:
            waveform = fit_length(waveform, n_samples, place=place, rng=rng)
        seed = int(rng.integers(2**31))
        return mel_image(waveform, rate_hz, preset=self._settings.sound.preset, place=place, seed=seed)

    def losses(
        self, forward: Forward, batch: Mapping[str, Tensor], places: Sequence[Place], ranks: Ranks
    ) -> dict[str, Tensor]:
        """Contrastive losses of sounds with texts, pictures and second views, where the batch has enough of them."""
        views = [batch[name] for name in ("sound", "view") if name in batch]
        # Both views in one pass: batch norm sees them together, and gradients are exchanged once.
        heard = [ranks.gathered(one) for one in functional.normalize(forward(torch.cat(views))).chunk(len(views))]
        device, indices = heard[0].device, [index for _, index in places]
        texts = torch.stack([self._text(epoch, index) for epoch, index in places]).to(device)
        pictures = self._pictures[indices].to(device)
        with_text = [row for row, index in enumerate(indices) if self._labels[index]]
        with_picture = [row for row, index in enumerate(indices) if self._items[index].picture is not None]
        everything = list(range(len(indices)))
        what = {index: (texts if self._labels[index] else pictures)[row] for row, index in enumerate(indices)}
        meaning = torch.stack([what[index] for index in indices])
        sides = {"text": (texts, with_text), "picture": (pictures, with_picture), "view": (heard[-1], everything)}
        used = [name for name in self.terms if self._weights[name] and len(sides[name][1]) >= _LEAST_PAIRS]
        total = sum(self._weights[name] for name in used)
        terms = dict.fromkeys(self.terms, heard[0].sum() * 0.0)
        for name in used:
            other, rows = sides[name]
            labels = [self._labels[indices[row]] for row in rows]
            vectors = (meaning if name == "view" else other)[rows].detach()
            targets = batch_targets(self._settings, vectors, labels)
            loss = contrastive(heard[0][rows], other[rows], scale=1 / self._settings.temperature, targets=targets)
            terms[name] = self._weights[name] / total * loss
        return terms

    def _text(self, epoch: int, index: int) -> Float[Tensor, " dim"]:
        """The mean direction of an item's labels, in an epoch's variants; zeros without labels."""
        rng = np.random.default_rng((self._settings.seed, epoch, index, 1))
        labels = self._items[index].labels
        if not labels:
            return torch.zeros(self._pictures.shape[1])
        variants = rng.integers(self._texts.shape[1], size=len(labels))
        rows = self._texts[[self._numbers[label] for label in labels], torch.from_numpy(variants)]
        return functional.normalize(rows.mean(dim=0), dim=0)

    def measure(self, network: nn.Module, *, with_intervals: bool) -> list[Recall]:
        """Retrieval figures among the held-out items' pictures, and among the texts of all labels."""
        chosen = self._split.held_out
        if not chosen:
            return []
        heard = self._embed(network, chosen)
        groups = [self._items[index].group for index in chosen]
        labels = [self._labels[index] for index in chosen]
        figures: list[Recall] = []
        seen = [row for row, index in enumerate(chosen) if self._items[index].picture is not None]
        if seen:
            figures += both_ways(
                heard[seen],
                self._guided.pictures[[chosen[row] for row in seen]],
                names=("sound", "picture"),
                groups=[groups[row] for row in seen],
                labels=[labels[row] for row in seen],
                with_intervals=with_intervals,
            )
        named = [row for row, one in enumerate(labels) if one]
        if named:
            right = has_label([labels[row] for row in named], self._guided.names)
            some, texts = [groups[row] for row in named], self._guided.texts[:, 0]
            name = f"sound to the text of its label, of {len(texts)}: recall@1"
            figures.append(recall(name, heard[named], texts, right, some, with_interval=with_intervals))
        return figures

    @torch.inference_mode()
    def _embed(self, network: nn.Module, indices: Sequence[int]) -> Float[NDArray[np.float32], "item dim"]:
        """Unit vectors of the middle part of sounds."""
        network.eval()
        device = next(network.parameters()).device
        rows: list[NDArray[np.float32]] = []
        for first in range(0, len(indices), _AT_ONCE):
            rng = np.random.default_rng(0)
            images = [self._mel_image(one, rng, place="centre") for one in indices[first : first + _AT_ONCE]]
            given = torch.from_numpy(np.stack(images)).to(device)
            rows.append(functional.normalize(network(given), dim=1).cpu().numpy())
        return np.concatenate(rows)


def label_texts(names: Sequence[str], settings: TextSettings, *, seed: int) -> list[list[str]]:
    """The texts of each label: the filled template, then its variants."""
    synonyms: Synonyms = settings.synonyms if isinstance(settings.synonyms, dict) else {}
    texts: list[list[str]] = []
    for number, name in enumerate(names):
        rng = np.random.default_rng((seed, number))
        first = settings.template.replace("{}", name)
        more = [
            variant(first, rng, synonyms, replace=settings.replace, swap=settings.swap, insert=settings.insert)
            for _ in range(settings.n_variants - 1)
        ]
        texts.append([first, *more])
    return texts


def embed_with_guide(
    guide: Guide, digest: str, data: Checked, settings: SoundEncoderSettings, *, folder: Path, progress: Progress
) -> GuideEmbeddings:
    """The frozen side: embeddings of all labels' texts and all pictures, cached on disk.

    Args:
        guide: the CLIP.
        digest: sha256 of its weights.
        data: the items.
        settings: of the training.
        folder: of the cache.
        progress: receives the number of computed embeddings and the total.

    Raises:
        InputError: the guide does not know a label's text.
    """
    names = sorted({label for item in data.items for label in item.labels})
    texts = label_texts(names, settings.text, seed=settings.seed)
    every = [text for some in texts for text in some]
    unknown = sorted({text for text in every if guide.texts and text not in guide.texts})
    if unknown:
        raise InputError(
            "the guide does not know the text of every label",
            expected=f"labels among {', '.join(guide.texts)}",
            got=", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""),
            fix="rename them in labels.csv, or use --base with a bundle whose guide takes any text",
        )
    n_variants = settings.text.n_variants
    embedded = np.zeros((0, n_variants, guide.dim), np.float32)
    if every:
        rows = FrozenVectors(folder, f"texts {digest}").get(
            every, lambda places: guide.embed_texts([every[place] for place in places]), progress
        )
        embedded = rows.reshape(len(names), n_variants, -1)
    pictures = np.zeros((len(data.items), guide.dim), np.float32)
    seen = [(index, item.picture) for index, item in enumerate(data.items) if item.picture is not None]
    if seen:
        pictures[[index for index, _ in seen]] = FrozenVectors(folder, f"pictures {digest}").get(
            [data.facts[index].picture_sha256 for index, _ in seen],
            lambda places: guide.embed_pictures([load_image(seen[place][1]) for place in places]),
            progress,
        )
    return GuideEmbeddings(names=tuple(names), texts=embedded, pictures=pictures)
