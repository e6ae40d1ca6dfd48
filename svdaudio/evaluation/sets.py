"""Figures of a set of sounds against a reference set, with the usual names and the network each is computed with.

A figure that cannot be computed has a reason instead of a value. docs/evaluation.md explains each, and what it can be
compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from svdaudio.evaluation.divergence import inception_score, kl_sigmoid, kl_softmax
from svdaudio.evaluation.frechet import frechet_distance, too_few_for_covariance
from svdaudio.evaluation.judges import Heard
from svdaudio.evaluation.kernel import kernel_audio_distance
from svdaudio.figures import mean_figure

Direction = Literal["↓", "↑"]


@dataclass(frozen=True, kw_only=True)
class SetFigure:
    """One figure of a set."""

    name: str
    """Name with its network: "KAD-tagger(mini)"."""
    direction: Direction
    """Whether lower or higher is better."""
    value: float | None = None
    low: float | None = None
    """Lower end of the 95 % bootstrap interval, if there is one."""
    high: float | None = None
    n: int = 0
    """Number of sounds of the set that it is computed from."""
    n_reference: int = 0
    why: str | None = None
    """Why there is no value."""

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        interval = "" if self.low is None or self.high is None else f" [{self.low:z.3f}, {self.high:z.3f}]"
        return f"{self.value:z.3f}{interval}"

    def results(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SoundSet:
    """Outputs of the judges and CLAP for a set of sounds, without silent and too short ones."""

    names: tuple[str, ...]
    """Names that match the sounds of a set with those of its reference."""
    heard: Mapping[str, Heard]
    """Role of a judge → its outputs, in the order of the names."""
    clap: NDArray[np.float32] | None
    """CLAP embeddings [n_sounds, 512]; None if the bundle has no audio encoder."""


def set_figures(ours: SoundSet, reference: SoundSet, *, clap_name: str) -> list[SetFigure]:
    """Every figure of a set against its reference.

    Args:
        ours: the set.
        reference: the reference set, by the same judges.
        clap_name: name of the CLAP network in figures.
    """
    pairs = _pairs(ours.names, reference.names)
    figures: list[SetFigure] = []
    for role, heard in ours.heard.items():
        figures += _distances(heard.network, heard.embedding, reference.heard[role].embedding)
        figures += _judged(heard, reference.heard[role], pairs)
    if ours.clap is not None and reference.clap is not None:
        figures += _distances(clap_name, ours.clap, reference.clap)
        cosines = [float(ours.clap[i] @ reference.clap[j]) for i, j in pairs]
        figures.append(_mean(f"{clap_name} sound-sound cosine", "↑", cosines, why=_UNPAIRED))
    return figures


def clap_score(sounds: NDArray[np.float32], texts: NDArray[np.float32], *, clap_name: str) -> SetFigure:
    """CLAP score: mean cosine of each sound with its text; higher is better.

    Args:
        sounds: CLAP embeddings [n_sounds, 512] of unit length.
        texts: CLAP embeddings of the text of each sound.
        clap_name: name of the CLAP network in figures.
    """
    cosines = [float(sound @ text) for sound, text in zip(sounds, texts, strict=True)]
    return _mean(f"CLAP score ({clap_name}, text-sound)", "↑", cosines, why="no usable sound has a text")


_UNPAIRED = "no sound of the set has the same name as one of the reference"


def _pairs(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """Indices of the sounds with the same name in both sets."""
    place = {name: index for index, name in enumerate(theirs)}
    return [(index, place[name]) for index, name in enumerate(ours) if name in place]


def _distances(network: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Iterator[SetFigure]:
    """FD and KAD in one network's space."""
    given = SetFigure(name=f"FD-{network}", direction="↓", n=len(ours), n_reference=len(theirs))
    n_dims = max(ours.shape[1], theirs.shape[1])
    why = too_few_for_covariance(min(len(ours), len(theirs)), n_dims)
    yield replace(given, why=why, value=None if why else frechet_distance(ours, theirs))
    given = replace(given, name=f"KAD-{network}")
    try:
        value, low, high = kernel_audio_distance(ours, theirs)
    except ValueError as error:
        yield replace(given, why=str(error))
    else:
        yield replace(given, value=value, low=low, high=high)


def _judged(ours: Heard, theirs: Heard, pairs: Sequence[tuple[int, int]]) -> Iterator[SetFigure]:
    """Mean KL of the sounds to their references, and the inception score."""
    index = np.array(pairs, np.intp).reshape(-1, 2)
    evaluated, reference = ours.logits[index[:, 0]], theirs.logits[index[:, 1]]
    variants: dict[str, Callable[..., NDArray[np.float64]]] = {"softmax": kl_softmax, "sigmoid": kl_sigmoid}
    for variant, divergence in variants.items():
        values = divergence(evaluated, reference).tolist() if len(index) else []
        yield _mean(f"KL-{ours.network} ({variant})", "↓", values, why=_UNPAIRED)
    n = len(ours.logits)
    value = inception_score(ours.logits) if n > 1 else None
    why = None if n > 1 else "a single sound has no diversity"
    yield SetFigure(name=f"IS-{ours.network}", direction="↑", value=value, n=n, why=why)


def _mean(name: str, direction: Direction, values: Sequence[float], *, why: str) -> SetFigure:
    """A mean over pairs, with its interval."""
    if not values:
        return SetFigure(name=name, direction=direction, why=why)
    mean = mean_figure(name, values)
    return SetFigure(
        name=name, direction=direction, value=mean.value, low=mean.low, high=mean.high, n=mean.n, n_reference=mean.n
    )
