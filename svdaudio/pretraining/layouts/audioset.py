"""AudioSet: two million clips of 10 s from YouTube with 527 labels, several a clip (Gemmeke et al. 2017).

    eval_segments.csv, balanced_train_segments.csv, unbalanced_train_segments.csv
        # YTID, start_seconds, end_seconds, positive_labels
        -0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"
    class_labels_indices.csv      index,mid,display_name
    eval_segments/Y-0RWZT-miFs.wav

From research.google.com/audioset/download.html: three lines of comments, no header; all segments are from different
videos, so an id alone identifies a clip. The tables may be in a subfolder, and sounds and frames at any depth. Users
download the clips themselves, and names differ: `YID` with the letter Y in front (PANNs' audioset_tagging_cnn, and the
archives shared since), `ID`, `ID_420000_430000` in milliseconds (audiosetdl), `ID_420.0-430.0` (audioset-download),
`ID_420.000_430.000`, `ID-420.0-430.0`, `ID_420_430`, `ID_420` and `ID_000420`. Clips are already cut.
"""

from __future__ import annotations

from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.pretraining.items import DataSet, Item, Layout
from svdaudio.pretraining.layouts.found import data_set, find_files
from svdaudio.pretraining.layouts.tables import Line, classes_by_number, read_table

CLASSES = "class_labels_indices.csv"
CLASS_COLUMNS = ("index", "mid", "display_name")
SUFFIX = "_segments.csv"
COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")


def find_tables(folder: Path, pattern: str) -> list[Path]:
    """Files that match a pattern, in a folder and its direct subfolders."""
    return [path for path in (*sorted(folder.glob(pattern)), *sorted(folder.glob(f"*/{pattern}"))) if path.is_file()]


def read(folder: Path) -> DataSet:
    """Read a folder of AudioSet; an item's fold is its table: "eval", "balanced_train" or "unbalanced_train".

    Raises:
        InputError: a table is missing or cannot be read, a cell is invalid, a label is unknown, a clip is listed twice,
            or no clip has a file.
    """
    names, classes = read_classes(folder)
    found = find_files(folder)
    items: list[Item] = []
    missing: list[str] = []
    seen: dict[str, Line] = {}
    for table in find_tables(folder, f"*{SUFFIX}"):
        for line in read_table(table, COLUMNS, header=False, comment="#"):
            clip = line.file_name("YTID")
            if (first := seen.setdefault(clip, line)) is not line:
                raise line.error("YTID", f"the clip is already in {first.place}")
            start_s, end_s = line.seconds("start_seconds"), line.seconds("end_seconds")
            if end_s <= start_s:
                raise line.error("end_seconds", "the clip ends before it begins", expected=f"more than {start_s:g}")
            labels = tuple(dict.fromkeys(_label(line, mid.strip(), names) for mid in line.text(COLUMNS[3]).split(",")))
            stems = stems_of(clip, start_s, end_s)
            sound = found.sound(stems)
            if sound is None:
                missing.append(f"{line.place}: {clip}")
                continue
            picture = next((path for stem in (sound.stem, *stems) if (path := found.picture(stem))), None)
            fold = table.name.removesuffix(SUFFIX)
            items.append(Item(name=clip, sound=sound, picture=picture, labels=labels, group=clip, fold=fold))
    if not seen:
        raise InputError(f"{folder} has no table of AudioSet", expected=f"eval{SUFFIX} or another *{SUFFIX}")
    return data_set(folder, items, classes, missing)


def read_classes(folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read the names of the labels: machine id → name, and all names in the order of their index.

    Raises:
        InputError: the table is missing, cannot be read, or contradicts itself.
    """
    place = find_tables(folder, CLASSES)
    if not place:
        raise InputError(
            f"{folder} has no {CLASSES}", fix="download it from research.google.com/audioset/download.html"
        )
    names: dict[str, str] = {}
    lines = read_table(place[0], CLASS_COLUMNS)
    for line in lines:
        if names.setdefault(line.text("mid"), line.text("display_name")) != line.text("display_name"):
            raise line.error("display_name", f"{line.text('mid')} has two names", expected=names[line.text("mid")])
    numbered = ((line, line.whole("index"), line.text("display_name")) for line in lines)
    return names, classes_by_number(numbered, ("index", "display_name"))


def _label(line: Line, mid: str, names: dict[str, str]) -> str:
    if mid not in names:
        raise InputError(
            f"{line.place}, column 'positive_labels': unknown label", expected=f"one of {CLASSES}", got=mid[:60]
        )
    return names[mid]


def stems_of(clip: str, start_s: float, end_s: float) -> tuple[str, ...]:
    """Possible names of a clip's file, without suffix."""
    start, end = int(start_s), int(end_s)
    return (
        f"Y{clip}",
        clip,
        f"{clip}_{round(start_s * 1000)}_{round(end_s * 1000)}",
        f"{clip}_{start_s}-{end_s}",
        f"{clip}_{start_s:.3f}_{end_s:.3f}",
        f"{clip}_{start_s}_{end_s}",
        f"{clip}-{start_s}-{end_s}",
        f"{clip}_{start}_{end}",
        f"{clip}_{start}",
        f"{clip}_{start:06d}",
    )


def is_audioset(folder: Path) -> bool:
    """Whether a folder has tables of segments."""
    return bool(find_tables(folder, f"*{SUFFIX}"))


AUDIOSET = Layout(name="audioset", recognises=is_audioset, read=read)
