"""Data sets with one label a sound and a table that puts each sound into one of several folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from svdaudio.pretraining.items import DataSet, Item
from svdaudio.pretraining.layouts.found import data_set, find_files
from svdaudio.pretraining.layouts.tables import Line, classes_by_number, read_table


@dataclass(frozen=True, kw_only=True)
class FoldTable:
    """Where such a table is, and what its columns are called."""

    path: Path
    """Relative to the folder of the data set."""
    columns: Sequence[str]
    """All of them, in their order."""
    file: str
    """Column of the file's name."""
    group: str
    """Column of the recording that it was cut from."""
    number: str
    """Column of the class's number."""
    label: str
    """Column of the class's name, whose words are joined by underscores."""
    folder: str
    """Of the file: "audio/fold{fold}"."""
    n_folds: int

    def recognises(self, folder: Path) -> bool:
        """Whether a folder has it."""
        return (folder / self.path).is_file()

    def read(self, folder: Path) -> DataSet:
        """What a folder holds of the data set.

        Raises:
            InputError: the table cannot be read or a cell of it is invalid, or no file is there.
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
                raise line.error("fold", "there is no such fold", expected=f"1 to {self.n_folds}")
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
    """The words of a label: "crying baby" for "crying_baby"."""
    return label.replace("_", " ")
