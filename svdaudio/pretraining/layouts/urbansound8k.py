"""UrbanSound8K: 8732 sounds of up to 4 s in 10 classes and 10 folds (Salamon, Jacoby and Bello 2014).

    metadata/UrbanSound8K.csv      slice_file_name,fsID,start,end,salience,fold,classID,class
    audio/fold5/100032-3-0-0.wav

From urbansounddataset.weebly.com/urbansound8k.html: `fsID` is the Freesound recording that a slice was cut from, and
`start` and `end` are positions in *that* recording, not in the file, which is read completely. Sample rates, bit depths
and channels vary from file to file. The folds must not be reshuffled: slices of one recording would be on both sides.
"""

from __future__ import annotations

from pathlib import Path

from svdaudio.pretraining.items import Layout
from svdaudio.pretraining.layouts.folds import FoldTable

TABLE = FoldTable(
    path=Path("metadata/UrbanSound8K.csv"),
    columns=("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"),
    file="slice_file_name",
    group="fsID",
    number="classID",
    label="class",
    folder="audio/fold{fold}",
    n_folds=10,
)
URBANSOUND8K = Layout(name="urbansound8k", recognises=TABLE.recognises, read=TABLE.read)
