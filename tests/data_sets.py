"""Small folders in the layouts of published data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
ESC50_HEADER = "filename,fold,target,category,esc10,src_file,take"
URBANSOUND8K_HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"
AUDIOSET_COMMENTS = (
    "# Segments csv created Sun Mar  5 10:54:25 2017\n"
    "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
)
AUDIOSET_CLASSES = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/0bt9lr,"Dog"\n2,/m/0jbk,"Animal, pet"\n'


def write_sound(path: Path, *, hz: float = 440.0, duration_s: float = 0.2) -> Path:
    """Write a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * hz * times), RATE_HZ)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def esc50(folder: Path, rows: Iterable[str], *, without: Iterable[str] = ()) -> Path:
    """ESC-50 with these rows, and a tone for each except those in `without`."""
    rows = list(rows)
    write_text(folder / "meta/esc50.csv", "\n".join([ESC50_HEADER, *rows]) + "\n")
    for number, name in enumerate(row.split(",")[0] for row in rows):
        if name not in without:
            write_sound(folder / "audio" / name, hz=200.0 * (number + 1))
    return folder


def urbansound8k(folder: Path, rows: Iterable[str]) -> Path:
    """UrbanSound8K with these rows and a tone for each."""
    rows = list(rows)
    write_text(folder / "metadata/UrbanSound8K.csv", "\n".join([URBANSOUND8K_HEADER, *rows]) + "\n")
    for row in rows:
        name, _, _, _, _, fold, _, _ = row.split(",")
        write_sound(folder / f"audio/fold{fold}" / name)
    return folder
