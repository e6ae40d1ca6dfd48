"""ESC-50: 2000 sounds of 5 s in 50 classes and 5 folds (Piczak 2015, github.com/karolpiczak/ESC-50).

    meta/esc50.csv      filename,fold,target,category,esc10,src_file,take
    audio/1-100032-A-0.wav

According to its README, the folds are for comparable cross-validation, and clips from one original recording
(`src_file`, the Freesound clip) are in a single fold.
"""

from __future__ import annotations

from pathlib import Path

from svdaudio.pretraining.items import Layout
from svdaudio.pretraining.layouts.folds import FoldTable

TABLE = FoldTable(
    path=Path("meta/esc50.csv"),
    columns=("filename", "fold", "target", "category", "esc10", "src_file", "take"),
    file="filename",
    group="src_file",
    number="target",
    label="category",
    folder="audio",
    n_folds=5,
)
ESC50 = Layout(name="esc50", recognises=TABLE.recognises, read=TABLE.read)
