"""Judges: applies the taggers and the CLAP encoders of a bundle to sounds, one model after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from svdaudio.evaluation.sounds import Source

if TYPE_CHECKING:
    from svdaudio.checkpoints.bundle import Bundle

AUDIO_ENCODER = "audio_encoder"
TEXT_ENCODER = "text_encoder"
NETWORKS = {"panns-cnn14": "PANNs", "transformers-ast": "AST", "audioldm-ckpt": "CLAP"}
"""Format of a checkpoint → the name of its network in figures, such as FD-PANNs."""
OnSound = Callable[[str], None]
"""Receives a line of progress before a sound is heard."""


def ignore(text: str) -> None:
    """Discard a line of progress."""
    del text


class ModelsByRole(Protocol):
    """Models by role, loaded on first use."""

    def __getitem__(self, role: str, /) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The outputs of one judge for all sounds, in the given order."""

    network: str
    """Name of the judge in figures: "PANNs", "tagger(mini)"."""
    classes: tuple[str, ...]
    logits: NDArray[np.float32]
    """[n_sounds, n_classes]"""
    embedding: NDArray[np.float32]
    """[n_sounds, n_dims]"""

    @property
    def scores(self) -> NDArray[np.float64]:
        """[n_sounds, n_classes], 0 to 1: the sigmoid of the logits."""
        return 1.0 / (1.0 + np.exp(-self.logits.astype(np.float64)))


def network_name(bundle: Bundle, role: str) -> str:
    """Name of a network in figures: its published name, else its role and bundle ("tagger(mini)")."""
    plain = {AUDIO_ENCODER: "CLAP", TEXT_ENCODER: "CLAP"}.get(role, role)
    return NETWORKS.get(bundle.entry(role).format, f"{plain}({bundle.name})")


def hear(bundle: Bundle, models: ModelsByRole, sources: Sequence[Source], on_sound: OnSound) -> dict[str, Heard]:
    """Apply every judge of a bundle to every sound, at the judge's own sample rate.

    Sounds are processed one by one, so that they may differ in length and none is padded.

    Args:
        bundle: provides the judges.
        models: of the bundle.
        sources: the sounds.
        on_sound: receives a line of progress before each sound.

    Returns:
        Role → outputs of its judge.
    """
    found: dict[str, Heard] = {}
    for role in bundle.judges:
        network = network_name(bundle, role)
        heard = [models[role].hear(*given) for given in _tensors(sources, network, on_sound)]
        found[role] = Heard(
            network=network,
            classes=tuple(models[role].classes),
            logits=_stacked([one.logits[0].numpy() for one in heard], len(models[role].classes)),
            embedding=_stacked([one.embedding[0].numpy() for one in heard], 0),
        )
    return found


def embed(
    bundle: Bundle, models: ModelsByRole, sources: Sequence[Source], on_sound: OnSound
) -> NDArray[np.float32] | None:
    """CLAP embeddings [n_sounds, 512] of sounds, of unit length; None if the bundle has no audio encoder."""
    if AUDIO_ENCODER not in bundle.roles:
        return None
    network = network_name(bundle, AUDIO_ENCODER)
    rows = [models[AUDIO_ENCODER].embed(*given)[0].cpu().numpy() for given in _tensors(sources, network, on_sound)]
    return _stacked(rows, 0)


def embed_texts(bundle: Bundle, models: ModelsByRole, texts: Iterable[str]) -> Mapping[str, NDArray[np.float32]] | None:
    """Text → its CLAP embedding [512], of unit length; None if the bundle has no text encoder.

    Raises:
        ConfigError: the encoder does not know a text; that of the mini bundle knows only names of classes.
    """
    unique = list(dict.fromkeys(texts))
    if TEXT_ENCODER not in bundle.roles or not unique:
        return None
    rows = models[TEXT_ENCODER].embed(unique).float().cpu().numpy()
    return dict(zip(unique, rows, strict=True))


def _tensors(sources: Sequence[Source], network: str, on_sound: OnSound) -> Iterable[tuple[Any, int]]:
    """Each sound as a batch of one, and its sample rate."""
    import torch

    for number, source in enumerate(sources, start=1):
        on_sound(f"{network} hears {source.name} ({number} of {len(sources)})")
        waveform, rate_hz = source.read()
        yield torch.from_numpy(np.ascontiguousarray(waveform))[None], rate_hz


def _stacked(rows: Sequence[NDArray[np.float32]], n_dims: int) -> NDArray[np.float32]:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, n_dims), np.float32)
