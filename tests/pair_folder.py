"""A small folder of labelled pictures and sounds like that of a user; pictures depend on their sounds."""

from __future__ import annotations

import numpy as np
import soundfile
from PIL import Image

CLASSES = ("cat", "dog", "duck")
RATE_HZ = 8_000
SIDE_PX = 32


def write_pairs(folder, n=12, *, duration_s=1.0, with_labels=True):
    """Write `n` pairs of three classes in turn: tones of different pitch, pictures of different colour."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = ["stem,label"]
    for index in range(n):
        label = index % len(CLASSES)
        name = f"{CLASSES[label]}{index}"
        soundfile.write(folder / f"{name}.wav", tone(300 * (label + 1) + 3 * index, duration_s), RATE_HZ)
        pixels = rng.integers(0, 80, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        pixels[..., label] += 150
        Image.fromarray(pixels).save(folder / f"{name}.png")
        rows.append(f"{name},{CLASSES[label]}")
    if with_labels:
        (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def tone(frequency_hz, duration_s=1.0):
    """A sine, as samples."""
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)
