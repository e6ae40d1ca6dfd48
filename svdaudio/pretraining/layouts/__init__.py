"""Layouts of published data sets of sounds on disk, one file for each."""

from __future__ import annotations

from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.pretraining.items import Layout
from svdaudio.pretraining.layouts.audioset import AUDIOSET
from svdaudio.pretraining.layouts.esc50 import ESC50
from svdaudio.pretraining.layouts.urbansound8k import URBANSOUND8K
from svdaudio.pretraining.layouts.vggsound import VGGSOUND

LAYOUTS = {layout.name: layout for layout in (ESC50, URBANSOUND8K, VGGSOUND, AUDIOSET)}
"""Name → layout."""


def recognise(folder: Path) -> Layout | None:
    """The layout of a folder, by the names of its tables; None if it has no known table.

    Raises:
        InputError: the folder has the tables of several data sets.
    """
    found = [layout for layout in LAYOUTS.values() if layout.recognises(folder)]
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise InputError(f"{folder} has the tables of several data sets", got=names, fix="put each into its own folder")
    return found[0] if found else None
