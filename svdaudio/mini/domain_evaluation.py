"""How reliably a bundle's domain distinguishes scenes of the farm from other pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.figures import Figure, at_most, mean_figure
from svdaudio.mini.vision_evaluation import held_out
from svdaudio.models.clip.encoder import ImageEncoder
from svdaudio.models.domain import Domain
from svdaudio.models.yolo.detector import DetectionSettings, Detector
from svdaudio.svd.geometry import Geometry
from svdaudio.svd.images import load_image

MOST_FALSE_ALARMS = 0.05
"""Goal: the largest share of held-out scenes that may be flagged."""
N_HELD_OUT = 500


def tokens_and_scores(
    pixels: UInt8[NDArray[np.uint8], "height width 3"], encoder: ImageEncoder, detector: Detector
) -> tuple[Float[NDArray[np.float32], "token dim"], Float[NDArray[np.float32], " object"]]:
    """A picture's tokens [257, 768] and the scores [n] of its objects, with the method's settings."""
    tokens = encoder.tokens(pixels, Geometry.SQUASH).tokens
    return tokens, detector.detect(pixels, DetectionSettings()).scores


def flagged(
    domain: Domain, encoder: ImageEncoder, detector: Detector, pictures: Iterable[NDArray[np.uint8]]
) -> list[tuple[str, ...]]:
    """The departures of each picture [height, width, 3] from a domain; empty for a picture within it."""
    measured = (tokens_and_scores(pixels, encoder, detector) for pixels in pictures)
    least = DetectionSettings().confidence
    return [domain.departures(tokens=tokens, scores=scores, least_confidence=least) for tokens, scores in measured]


def domain_figures(
    domain: Domain, encoder: ImageEncoder, detector: Detector, *, n_pictures: int = N_HELD_OUT
) -> tuple[Figure, ...]:
    """Share of held-out scenes of the farm that depart from the domain: false alarms."""
    found = flagged(domain, encoder, detector, (held_out(i, size=448).pixels for i in range(n_pictures)))
    alarms = [float(bool(each)) for each in found]
    return (mean_figure("held-out scenes flagged as unknown", alarms, goal=at_most(MOST_FALSE_ALARMS)),)


def pictures_in(folder: Path) -> dict[Path, NDArray[np.uint8]]:
    """The pictures in a folder and its subfolders; other files are skipped.

    Raises:
        InputError: the folder has no pictures.
    """
    found: dict[Path, NDArray[np.uint8]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found[path] = load_image(path)
        except InputError:
            continue
    if not found:
        raise InputError(f"there are no pictures in {folder}", expected="a folder with image files")
    return found
