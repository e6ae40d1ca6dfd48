"""CLAP embeddings of an object mix: faded between pictures, or mixed from those of single objects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import EmptyRegionError
from svdaudio.mixing.levels import amplitude, levels, vertices

Embedding = Float[NDArray[np.float32], " dim"]


def fade(embeddings: Mapping[str, Embedding], gains_db: Mapping[str, float | str]) -> Embedding:
    """The embedding of a picture whose objects are faded, L2-normalised.

    It is interpolated between the sounds' embeddings, not the pictures', so that it follows a fader evenly: SSV2A's
    remixer follows a picture's embedding in steps (docs/mixer.md).

    Args:
        embeddings: label of a vertex → CLAP embedding of that picture, for each of `vertices(gains_db)`.
        gains_db: gains of every object and of the rest.

    Returns:
        [512]; the whole picture's own embedding, bit for bit, if all gains are equal.
    """
    return _weighted_mean({one.label: one.weight for one in vertices(gains_db)}, embeddings)


def blend(embeddings: Mapping[str, Embedding], gains_db: Mapping[str, float | str]) -> Embedding:
    """The mean of single objects' embeddings, weighted by their levels, L2-normalised.

    Args:
        embeddings: object → CLAP embedding of it alone.
        gains_db: gains of every object and of the rest.
    """
    return _weighted_mean(levels({name: gains_db[name] for name in embeddings}), embeddings)


def overlay(
    pictures: Mapping[str, Embedding], sources: Mapping[str, Embedding], gains_db: Mapping[str, float | str]
) -> Embedding:
    """The embedding of a picture whose objects are faded, mixed with further sources, L2-normalised.

    The picture, faded as by `fade`, weighs as much as its loudest part; each source weighs its own amplitude.

    Args:
        pictures: as for `fade`; none if the whole picture is silenced.
        sources: name → CLAP embedding of a sound or a text.
        gains_db: gains of every object, of the rest and of the sources.
    """
    parts = dict(sources)
    weights = {name: amplitude(gains_db[name]) for name in sources}
    if pictures:
        of_picture = {name: gain for name, gain in gains_db.items() if name not in sources}
        parts[""] = fade(pictures, of_picture)
        weights[""] = max(amplitude(gain) for gain in of_picture.values())
    return _weighted_mean(weights, parts)


def _weighted_mean(weights: Mapping[str, float], embeddings: Mapping[str, Embedding]) -> Embedding:
    heard = {name: weight for name, weight in weights.items() if weight}
    if len(heard) == 1:
        return embeddings[next(iter(heard))]
    mixed = sum((weight * embeddings[name].astype(np.float64) for name, weight in heard.items()), np.zeros(()))
    length = np.linalg.norm(mixed)
    if not length > 1e-9:
        raise EmptyRegionError("the objects' embeddings cancel out", fix="change a gain")
    return (mixed / length).astype(np.float32)
