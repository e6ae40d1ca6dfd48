"""Checks whether a picture resembles those that a bundle's image encoder and detector were trained on.

Two figures of a picture are compared with limits: the Mahalanobis distance of its mean token from those of training
pictures (Lee et al., 2018), and the score of its most confident object (Hendrycks and Gimpel, 2017). The first detects
other kinds of pictures, the second unknown objects in familiar surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.weights.own import load_weights
from svdaudio.weights.reading import unreadable

ROLE = "domain"


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The pictures that a bundle was trained on, as its image encoder and detector see them."""

    mean: Float[NDArray[np.float32], " dim"]
    """Mean of the training pictures' mean tokens."""
    components: Float[NDArray[np.float32], "component dim"]
    """First principal components of the mean tokens, each of length 1."""
    deviations: Float[NDArray[np.float32], " component"]
    """Standard deviation along each component."""
    noise: float
    """Standard deviation in every other direction; above 0."""
    longest_distance: float
    """Largest `distance` of a familiar picture."""
    least_score: float
    """Lowest best object score of a familiar picture, 0 to 1."""

    def distance(self, tokens: Float[NDArray[np.float32], "token dim"]) -> float:
        """Mahalanobis distance of the mean of a picture's L2-normalised tokens from `mean`, in standard deviations.

        The covariance is that of probabilistic principal component analysis (Tipping and Bishop, 1999): the noise plus
        the variance along the components.
        """
        offset = tokens.mean(axis=0) - self.mean
        along = self.components @ offset
        residual = offset - along @ self.components
        squares = np.square(along) / (np.square(self.deviations) + self.noise**2)
        return float(np.sqrt(squares.sum() + np.square(residual).sum() / self.noise**2))

    def departures(
        self,
        *,
        tokens: Float[NDArray[np.float32], "token dim"] | None = None,
        scores: Float[NDArray[np.floating], " object"] | None = None,
        least_confidence: float = 0.0,
    ) -> tuple[str, ...]:
        """The limits that a picture exceeds, each as "figure, limit"; empty if it resembles the training pictures.

        Args:
            tokens: its L2-normalised tokens, CLS first; None if they were not computed.
            scores: scores of the objects found in it, 0 to 1; None if the detector was not run.
            least_confidence: the score below which objects were dropped; without objects, the best score is below it.
        """
        found: list[str] = []
        if tokens is not None and (distance := self.distance(tokens)) > self.longest_distance:
            found.append(
                f"its tokens are {distance:.1f} standard deviations from theirs, limit {self.longest_distance:.1f}"
            )
        if scores is not None and (scores.size or least_confidence <= self.least_score):
            best = float(scores.max(initial=0.0))
            if best < self.least_score:
                surest = f"its surest object scores {best:.2f}" if scores.size else "no object is found"
                found.append(f"{surest}, limit {self.least_score:.2f}")
        return tuple(found)


def principal_components(
    mean_tokens: Float[NDArray[np.float32], "picture dim"], *, n_components: int
) -> tuple[
    Float[NDArray[np.float32], " dim"],
    Float[NDArray[np.float32], "component dim"],
    Float[NDArray[np.float32], " component"],
]:
    """The mean of some pictures' mean tokens, their first principal components, and the deviation along each.

    Args:
        mean_tokens: one row a picture.
        n_components: at most the number of pictures and of dimensions.
    """
    mean = mean_tokens.mean(axis=0)
    _, values, components = np.linalg.svd(mean_tokens - mean, full_matrices=False)
    return mean, components[:n_components], (values[:n_components] / len(mean_tokens) ** 0.5).astype(np.float32)


def fit_limits(
    distances: Float[NDArray[np.floating], " picture"],
    best_scores: Float[NDArray[np.floating], " picture"],
    *,
    share: float,
) -> tuple[float, float]:
    """The strictest limits of distance and best score that at most a given share of these pictures exceed.

    Each limit alone is exceeded by the same number of pictures, except for ties.

    Args:
        distances: of pictures that should pass.
        best_scores: of the same pictures.
        share: the largest share of them that may exceed one limit or the other, 0 to 1.
    """
    limits = list(zip(np.sort(distances)[::-1].tolist(), np.sort(best_scores).tolist(), strict=True))
    passing = [(far, low) for far, low in limits if np.mean((distances > far) | (best_scores < low)) <= share]
    return passing[-1]


def load_domain(path: Path, device: object = None) -> Domain:
    """Load the description of a bundle's training pictures from a file in this project's own format.

    Args:
        path: the file.
        device: ignored: the arrays are small.

    Raises:
        CheckpointError: the file is missing, damaged or of another role.
    """
    del device
    state, header = load_weights(path, role=ROLE)
    with unreadable(path, "mean, components and limits"):
        mean, components, deviations = (state[name].numpy() for name in ("mean", "components", "deviations"))
        n_components, n_dims = components.shape
        if (mean.shape, deviations.shape) != ((n_dims,), (n_components,)):
            raise ValueError(f"the shapes {mean.shape}, {components.shape} and {deviations.shape} do not match")
        noise, longest, least = (float(header.extra[name]) for name in ("noise", "longest_distance", "least_score"))
    return Domain(
        mean=mean, components=components, deviations=deviations, noise=noise, longest_distance=longest,
        least_score=least,
    )  # fmt: skip
