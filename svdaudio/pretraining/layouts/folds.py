"""Data sets with one label per sound and a table that assigns each sound to a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from svdaudio.pretraining.items import DataSet, Item
from svdaudio.pretraining.layouts.found import data_set, find_files
from svdaudio.pretraining.layouts.tables import Line, classes_by_number, read_table


@dataclass(frozen=True, kw_only=True)
class FoldTable:
    """Path and columns of such a table."""

    path: Path
    """Relative to the folder of the data set."""
    columns: Sequence[str]
    """All columns, in order."""
    file: str
    """Column of the file name."""
    group: str
    """Column of the recording that the sound was cut from."""
    number: str
    """Column of the class number."""
    label: str
    """Column of the class name, with underscores between words."""
    folder: str
    """Folder of the files: "audio/fold{fold}"."""
    n_folds: int

    def recognises(self, folder: Path) -> bool:
        """Whether a folder has the table."""
        return (folder / self.path).is_file()

    def read(self, folder: Path) -> DataSet:
        """Read a folder of the data set.

        Raises:
            InputError: the table cannot be read, a cell is invalid, or no sound exists.
        """
        lines = read_table(folder / self.path, self.columns)
        found = find_files(folder)
        items: list[Item] = []
        missing: list[str] = []
        named: dict[str, Line] = {}
        for line in lines:
            name = line.file_name(self.file)
            if (first := named.setdefault(name, line)) is not line:
                raise line.error(self.file, f"the file is already in line {first.number}")
            fold = line.whole("fold")
            if not 1 <= fold <= self.n_folds:
                raise line.error("fold", "unknown fold", expected=f"1 to {self.n_folds}")
            group, label = line.text(self.group), _words(line.text(self.label))
            place = f"{self.folder.format(fold=fold)}/{name}"
            path = folder / place
            if not path.is_file():
                missing.append(f"{line.place}: {place}")
                continue
            picture = found.picture(path.stem)
            items.append(
                Item(name=path.stem, sound=path, picture=picture, labels=(label,), group=group, fold=str(fold))
            )
        numbered = ((line, line.whole(self.number), _words(line.text(self.label))) for line in lines)
        return data_set(folder, items, classes_by_number(numbered, (self.number, self.label)), missing)


def _words(label: str) -> str:
    """A label with spaces between words: "crying baby" for "crying_baby"."""
    return label.replace("_", " ")
