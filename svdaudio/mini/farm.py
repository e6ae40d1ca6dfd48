"""The farm: nine animals, each with two cut-outs and one recording, and backgrounds to put them on."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from svdaudio.places import examples_folder

CLASSES = ("cat", "chicken", "cow", "dog", "duck", "horse", "owl", "pig", "sheep")
FARM = examples_folder() / "farm"
SAMPLE_RATE_HZ = 16_000

TRAIN_BACKGROUNDS = ("dry_grass.jpg", "farm_drawing.png", "hillside.jpg", "sky_hill.jpg")
HELD_OUT_BACKGROUNDS = ("meadow.jpg", "paddock.jpg")
CUTOUT_KINDS = ("photo", "drawing")

_LONGEST_CUTOUT_PX = 320
_BACKGROUND_WIDTH_PX = 640


@functools.cache
def cutout(name: str, kind: str) -> NDArray[np.uint8]:
    """A cut-out animal, [H, W, 4] RGBA uint8, trimmed to its opaque part, its longer side at most 320 px."""
    bgra = cv2.imread(str(FARM / "cutouts" / f"{name}_{kind}.png"), cv2.IMREAD_UNCHANGED)
    if bgra is None:
        raise FileNotFoundError(FARM / "cutouts" / f"{name}_{kind}.png")
    rgba = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA)
    rows, columns = np.nonzero(rgba[..., 3] > 127)
    rgba = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = min(1.0, _LONGEST_CUTOUT_PX / max(rgba.shape[:2]))
    size = (round(rgba.shape[1] * scale), round(rgba.shape[0] * scale))
    return np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.uint8)


@functools.cache
def background(name: str) -> NDArray[np.uint8]:
    """A background, [H, 640, 3] RGB uint8."""
    bgr = cv2.imread(str(FARM / "backgrounds" / name), cv2.IMREAD_COLOR)
    if bgr is None:
        raise FileNotFoundError(FARM / "backgrounds" / name)
    height = round(bgr.shape[0] * _BACKGROUND_WIDTH_PX / bgr.shape[1])
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(rgb, (_BACKGROUND_WIDTH_PX, height), interpolation=cv2.INTER_AREA), np.uint8)


@functools.cache
def recording(name: str, sample_rate_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.float32]:
    """An animal's recording, mono, silence trimmed at both ends, peak 0.7."""
    samples, rate_hz = soundfile.read(FARM / "sounds" / f"{name}.ogg", dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    mono = resample_poly(mono, sample_rate_hz, rate_hz).astype(np.float32)
    loud = np.nonzero(np.abs(mono) > 0.02 * np.abs(mono).max())[0]
    mono = mono[loud[0] : loud[-1] + 1]
    return np.asarray(0.7 * mono / np.abs(mono).max(), np.float32)
