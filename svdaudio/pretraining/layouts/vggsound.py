"""VGGSound: about 200 000 clips of 10 s from YouTube in 309 classes (Chen et al. 2020, github.com/hche11/VGGSound).

    vggsound.csv        no header: YouTube id, start seconds, label, "train" or "test"
    audio/-0yRK50zyTI_000030.wav

The table may also be in a subfolder, and sounds and frames at any depth. Users download the clips themselves, and names
differ: `ID_000030` with the start in six digits (the authors' archives; CAV-MAE, ACL-SSL), `ID_30000_40000` in
milliseconds (audiosetdl), `ID_30_40`, `ID_30`, and `ID` alone (LAION's audio-dataset), which is accepted for an id with
a single row. Clips are already cut: a file begins at its start seconds.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.pretraining.items import DataSet, Item, Layout
from svdaudio.pretraining.layouts.found import data_set, find_files
from svdaudio.pretraining.layouts.tables import read_table

NAME = "vggsound.csv"
COLUMNS = ("YouTube id", "start seconds", "label", "split")
SPLITS = ("train", "test")
CLIP_S = 10


def tables(folder: Path) -> list[Path]:
    """Tables in a folder and its direct subfolders."""
    return [path for path in (folder / NAME, *sorted(folder.glob(f"*/{NAME}"))) if path.is_file()]


def read(folder: Path) -> DataSet:
    """Read a folder of VGGSound.

    Raises:
        InputError: there is not exactly one table, it cannot be read, a cell is invalid, or no clip has a file.
    """
    place = tables(folder)
    if len(place) != 1:
        got = " and ".join(str(path.relative_to(folder)) for path in place) or None
        raise InputError(f"{folder} has no table of VGGSound", expected=f"one {NAME}", got=got)
    lines = read_table(place[0], COLUMNS, header=False)
    counts = Counter(line.cells["YouTube id"] for line in lines)
    found = find_files(folder)
    items: dict[str, Item] = {}
    missing: list[str] = []
    classes: dict[str, None] = {}
    seen: dict[str, int] = {}
    for line in lines:
        clip, start_s = line.file_name("YouTube id"), line.whole("start seconds")
        name, label, split = f"{clip}_{start_s:06d}", line.text("label"), line.text("split")
        if split not in SPLITS:
            raise line.error("split", "unknown split", expected=" or ".join(SPLITS))
        if (first := seen.setdefault(name, line.number)) != line.number:
            raise line.error("YouTube id", f"the clip is already in line {first}")
        classes[label] = None
        stems = stems_of(clip, start_s, alone=counts[clip] == 1)
        sound = found.sound(stems)
        if sound is None:
            missing.append(f"{line.place}: {name}")
            continue
        picture = next((path for stem in (sound.stem, *stems) if (path := found.picture(stem))), None)
        items[name] = Item(name=name, sound=sound, picture=picture, labels=(label,), group=clip, fold=split)
    return data_set(folder, list(items.values()), tuple(sorted(classes)), missing)


def stems_of(clip: str, start_s: int, *, alone: bool) -> tuple[str, ...]:
    """Possible names of a clip's file, without suffix.

    Args:
        clip: id of the video.
        start_s: start of the clip in the video.
        alone: whether it is the only clip of the video.
    """
    end_s = start_s + CLIP_S
    stems = (
        f"{clip}_{start_s:06d}",
        f"{clip}_{start_s * 1000}_{end_s * 1000}",
        f"{clip}_{start_s}_{end_s}",
        f"{clip}_{start_s}",
    )
    return (*stems, clip) if alone else stems


VGGSOUND = Layout(name="vggsound", recognises=lambda folder: bool(tables(folder)), read=read)
