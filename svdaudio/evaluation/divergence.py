"""Figures computed from class logits: divergence of each sound from its reference, and inception score of a set."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax, xlogy

EPSILON = 1e-6
"""Added to the probabilities of the evaluated sound before the logarithm, as audioldm_eval and av-benchmark do."""


def kl_softmax(
    logits: Float[NDArray[np.floating], "clip class_"], reference: Float[NDArray[np.floating], "clip class_"]
) -> Float[NDArray[np.float64], " clip"]:
    """Kullback-Leibler divergence of each sound from its reference, over a softmax of the classes; lower is closer.

        KL = Σ_c p_c (log p_c − log(q_c + 10⁻⁶)),  p = softmax of the reference's logits, q = of the sound's

    "KL-…-softmax" of av-benchmark; Kreuk et al. 2022 (AudioGen, arXiv 2209.15352). In nats, ≥ 0 up to the epsilon.

    Args:
        logits: of the sounds.
        reference: of the reference sound of each, in the same order.
    """
    p, q = (softmax(np.asarray(one, np.float64), axis=1) for one in (reference, logits))
    return (xlogy(p, p) - p * np.log(q + EPSILON)).sum(axis=1)


def kl_sigmoid(
    logits: Float[NDArray[np.floating], "clip class_"], reference: Float[NDArray[np.floating], "clip class_"]
) -> Float[NDArray[np.float64], " clip"]:
    """The same sum over independent scores, by a sigmoid of each class; lower is closer.

        KL = Σ_c s_c (log s_c − log(t_c + 10⁻⁶)),  s = sigmoid of the reference's logits, t = of the sound's

    `kullback_leibler_divergence_sigmoid` of audioldm_eval. The scores do not add up to 1, so it is not a divergence:
    a sound with higher scores than its reference gets a small or negative value.

    Args:
        logits: of the sounds.
        reference: of the reference sound of each, in the same order.
    """
    s, t = (expit(np.asarray(one, np.float64)) for one in (reference, logits))
    return (xlogy(s, s) - s * np.log(t + EPSILON)).sum(axis=1)


def inception_score(logits: Float[NDArray[np.floating], "clip class_"], *, n_splits: int = 1) -> float:
    """Inception score, 1 to the number of classes: higher if each sound is distinct and the set is diverse.

        IS = exp( mean over clips of Σ_c p_c (log p_c − log p̄_c) ),  p = softmax of the logits, p̄ = their mean

    Salimans et al. 2016 (arXiv 1606.03498). With n clips it is at most n, so few clips give low values.

    Args:
        logits: of the sounds.
        n_splits: number of parts of the set, in order, to average over; av-benchmark uses ten of a shuffled set.

    Raises:
        ValueError: there are fewer clips than parts.
    """
    if len(logits) < n_splits:
        raise ValueError(f"{len(logits)} clips are fewer than {n_splits} parts")
    scores = [_inception(part) for part in np.array_split(np.asarray(logits, np.float64), n_splits)]
    return float(np.mean(scores))


def _inception(logits: NDArray[np.float64]) -> float:
    p = softmax(logits, axis=1)
    divergence = (p * (log_softmax(logits, axis=1) - np.log(p.mean(axis=0)))).sum(axis=1)
    return float(np.exp(divergence.mean()))
