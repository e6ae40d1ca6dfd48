"""Many requests of one method from one file, each row checked before anything is computed.

    rows = read_rows(Path("pairs.csv"), method)
    for one in prepare(session, rows, method, common): one.name, one.request

A CSV file has a header and one request per line; a JSONL file one object per line. The method's files ("original",
"edited") are paths relative to the file's own folder; `name` and `out` are optional; every other column is a parameter
by its dotted name, clicks included. A folder means the `pairs.csv` or `pairs.jsonl` in it or, if there is none, every
`*.json` in it, each of which describes a scene like `examples/scenes.json`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from svdaudio.config import flatten, parse_override, parse_value, unknown_parameter
from svdaudio.engine.batches import Prepared
from svdaudio.engine.method import Method
from svdaudio.engine.request import FileCache
from svdaudio.errors import InputError, SvdAudioError
from svdaudio.sounds.writing import check_sound_place
from svdaudio.studies.scenes import read_scene
from svdaudio.views.outputs import check_result

if TYPE_CHECKING:
    from svdaudio.session import Session

TEXTS = ("name", "out")
SEPARATORS = ",;\t"

Found = TypeVar("Found")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request of a file."""

    name: str
    """Unique within the file."""
    files: Mapping[str, Path]
    """Name of a file in the method ("original") → path."""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted name → value, clicks included."""
    out: Path | None = None
    """Path for a copy of the main sound."""
    where: str
    """Its place in errors: "pairs.csv, line 3"."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Settings for every row that does not override them."""

    config_file: Path | None = None
    overrides: Sequence[str] = ()
    """Texts such as `svd.k=7`."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted name → value from command line options."""
    variant: str | None = None
    """A set of targets that the method names."""
    targets: tuple[str, ...] = ()
    """Nodes to compute, instead of a variant."""


class RowsError(InputError):
    """Rows that cannot be used: the error is that of the first; `reasons` has those of all rows."""

    def __init__(self, errors: Sequence[tuple[str, SvdAudioError]]) -> None:
        (where, first), *others = errors
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(f"{where}: {first.what}{more}", expected=first.expected, got=first.got, fix=first.fix)
        self.exit_code = first.exit_code
        self.reasons = [f"{place}: {error.line()}" for place, error in errors] if others else []


def read_rows(path: Path, method: Method, *, folder: Path | None = None) -> list[Row]:
    """The requests in a CSV file, a JSONL file or a folder.

    Args:
        path: of the file or folder.
        method: of the requests.
        folder: base of relative paths in the file (default its own folder).

    Raises:
        InputError: the file cannot be read, has no rows, or a row is invalid.
        ConfigError: a column is not a parameter.
    """
    if path.is_dir():
        return _read_folder(path, method)
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise InputError(f"{path} is not a file of pairs", expected="a .csv or .jsonl file, or a folder")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
        raise InputError(f"the pairs {path} cannot be read", got=reason) from error
    found = _csv_cells(text, path, method) if path.suffix.lower() == ".csv" else _jsonl_objects(text, path)
    return _named(_all(found, lambda cells, where: _row(cells, where, folder or path.parent, method)), path)


def rows_of(tables: Sequence[Mapping[str, Any]], path: Path, method: Method) -> list[Row]:
    """The requests that tables of another file describe, each with the keys of a JSONL line.

    Args:
        tables: one for each request, possibly nested.
        path: the file, whose folder relative paths start from.
        method: the method of the requests.

    Raises:
        InputError: no table is found, or one is invalid.
        ConfigError: a key is not a parameter.
    """
    placed = ((f"{path.name}, case {number}", one) for number, one in enumerate(tables, start=1))
    return _named(_all(placed, lambda one, where: _row_of(flatten(one), where, path.parent, method)), path)


def prepare(session: Session, rows: Sequence[Row], method: Method, common: Common) -> list[Prepared]:
    """Check the files and parameters of every row, and make its request. Nothing is computed.

    Args:
        session: finds bundles, and looks up artifacts in the store.
        rows: from `read_rows`.
        method: the method of the requests.
        common: settings that rows may override.

    Raises:
        RowsError: some rows cannot be used; the error has all reasons.
    """
    for text in common.overrides:  # a mistake in all rows is one error
        parse_override(text, method.config.parameters())
    cache = FileCache()
    return _all(((row.where, row) for row in rows), lambda row, _: _prepare(session, row, method, common, cache))


def _prepare(session: Session, row: Row, method: Method, common: Common, cache: FileCache) -> Prepared:
    known = method.config.parameters()
    overrides = [text for text in common.overrides if parse_override(text, known)[0] not in row.parameters]
    request = session.request(
        method,
        row.files,
        {**common.given, **row.parameters},
        config_file=common.config_file,
        overrides=overrides,
        variant=common.variant,
        targets=common.targets,
        source=row.where,
        cache=cache,
    )
    sources = {name: "command line" for name in common.given if name not in row.parameters}
    resolved = replace(request.resolved, sources={**request.resolved.sources, **sources})
    if row.out is not None:
        check_sound_place(row.out, inputs=tuple(row.files.values()))
        check_result(request)
    settings = {name: value for name, value in row.parameters.items() if not isinstance(known[name].default, tuple)}
    return Prepared(name=row.name, request=replace(request, resolved=resolved), out=row.out, settings=settings)


def _all(found: Iterable[tuple[str, Found]], use: Callable[[Found, str], Result]) -> list[Result]:
    """Call `use` for every row with its place; if any fails, raise all errors together."""
    results: list[Result] = []
    errors: list[tuple[str, SvdAudioError]] = []
    for where, one in found:
        try:
            results.append(use(one, where))
        except SvdAudioError as error:
            errors.append((where, error))
    if errors:
        raise RowsError(errors)
    return results


def _csv_cells(text: str, path: Path, method: Method) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cells by column, for every line that is not empty."""
    n_blank = len(text) - len(text.lstrip("\r\n \t;,"))
    n_skipped = text.count("\n", 0, n_blank)
    lines = text.split("\n", n_skipped)[n_skipped]
    heading = lines.partition("\n")[0]
    separator = max(SEPARATORS, key=heading.count)
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator, strict=True, skipinitialspace=True)

    def place() -> str:
        return f"{path.name}, line {n_skipped + reader.line_num}"

    try:
        columns = [name.strip() for name in next(reader, [])]
        while columns and not columns[-1]:  # a separator at the end of every line
            columns.pop()
        _check_columns(columns, place() if columns else f"{path.name}, line 1", method)
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            while stripped and not stripped[-1]:
                stripped.pop()
            if len(stripped) > len(columns):
                extra = separator.join(stripped[len(columns) :])
                raise InputError(
                    f"{place()}: more cells than columns",
                    got=extra,
                    fix='write a click as "120,80", in quotes',
                )
            if stripped:
                yield place(), {name: cell for name, cell in zip(columns, stripped, strict=False) if cell}
    except csv.Error as error:
        raise InputError(f"{place()} is not valid CSV", got=error) from error


def _check_columns(columns: Sequence[str], where: str, method: Method) -> None:
    for name in method.files:
        if name not in columns:
            raise InputError(f"{where}: the column '{name}' is missing", got=", ".join(columns) or "an empty file")
    known = method.config.parameters()
    if "" in columns:
        raise InputError(f"{where}: column {columns.index('') + 1} has no name", fix="name it, or delete it")
    for name in columns:
        if name not in (*method.files, *TEXTS) and name not in known:
            raise unknown_parameter(name, known, where)
    if len(set(columns)) < len(columns):
        raise InputError(f"{where}: a column occurs twice", got=", ".join(columns))


def _jsonl_objects(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    # Not splitlines: JSON strings may contain U+2028 and the like.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path.name}, line {number}", line


def _row(cells: dict[str, Any] | str, where: str, folder: Path, method: Method) -> Row:
    """The row of CSV cells or of a JSON line."""
    texts = (*method.files, *TEXTS)
    if isinstance(cells, str):
        return _row_of(_parsed_json(cells), where, folder, method)
    values = {name: text if name in texts else parse_value(text) for name, text in cells.items()}
    return _row_of(values, where, folder, method)


def _row_of(values: Mapping[str, Any], where: str, folder: Path, method: Method) -> Row:
    """The row of parsed values."""
    texts = (*method.files, *TEXTS)
    _check_texts(values, method)
    known = method.config.parameters()
    parameters = {name: value for name, value in values.items() if name not in texts and value is not None}
    for name, value in parameters.items():
        if name not in known:
            raise unknown_parameter(name, known)
        parameters[name] = known[name].anchored(value, folder)
    return Row(
        name=str(values.get("name") or ""),
        files={name: folder / values[name] for name in method.files},
        parameters=parameters,
        out=folder / values["out"] if values.get("out") else None,
        where=where,
    )


def _parsed_json(line: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"'{name}' occurs twice", fix="keep one of them")
        return dict(pairs)

    try:
        found = json.loads(line, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError("the line is not valid JSON", got=error) from error
    if not isinstance(found, dict):
        raise InputError("the line is not a JSON object", got=line[:60])
    return flatten(cast("dict[str, Any]", found))


def _check_texts(values: Mapping[str, Any], method: Method) -> None:
    """Refuse a row that lacks a file, and file names and texts of another type."""
    for name, kind in method.files.items():
        if not isinstance(values.get(name), str):
            raise InputError(f"the {kind.name} '{name}' is missing", expected="a path")
    for name in TEXTS:
        if values.get(name) is not None and not isinstance(values[name], str):
            raise InputError(f"'{name}' is not text", got=values[name])
    for name in (*method.files, *TEXTS):
        if (text := values.get(name)) and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
            raise InputError(f"'{name}' contains characters that file names cannot have", got=ascii(text))


def _read_folder(folder: Path, method: Method) -> list[Row]:
    there = [folder / name for name in ("pairs.csv", "pairs.jsonl") if (folder / name).is_file()]
    if len(there) > 1:
        raise InputError(
            f"{folder} contains two files of pairs", got="pairs.csv and pairs.jsonl", fix="give one of them"
        )
    if there:
        return read_rows(there[0], method)
    scenes = sorted(folder.glob("*.json"))
    if not scenes or set(method.files) != {"original", "edited"}:
        raise InputError(f"no pairs found in {folder}", expected="pairs.csv, pairs.jsonl, or scenes as *.json files")
    return _named(_all(((path.name, path) for path in scenes), lambda path, _: _scene_row(path)), folder)


def _scene_row(path: Path) -> Row:
    scene = read_scene(path)
    clicks = {"remove": scene.remove, "add": scene.add}
    return Row(
        name=path.stem,
        files={"original": scene.original, "edited": scene.edited},
        parameters={name: [list(point) for point in points] for name, points in clicks.items()},
        where=path.name,
    )


def _named(rows: Sequence[Row], path: Path) -> list[Row]:
    """Rows with unique names; repeated names and `out` paths are refused."""
    if not rows:
        raise InputError(f"no pairs found in {path}", fix="write one per line")
    taken: dict[str, str] = {}
    outs: dict[str, str] = {}
    for row in rows:
        if row.name and taken.setdefault(row.name, row.where) != row.where:
            raise InputError(f"{row.where}: the name is already used", got=f"{row.name}, as in {taken[row.name]}")
        place = None if row.out is None else os.path.realpath(row.out)  # links and `..` name the same file
        if place is not None and outs.setdefault(place, row.where) != row.where:
            raise InputError(f"{row.where}: the output file is already used", got=f"{row.out}, as in {outs[place]}")
    numbers: dict[str, int] = {}
    named: list[Row] = []
    for row in rows:
        stem = "-".join(path.stem for path in row.files.values())
        name = row.name
        while not name or (not row.name and name in taken):
            numbers[stem] = number = numbers.get(stem, 0) + 1
            name = stem if number == 1 else f"{stem}-{number}"
        taken.setdefault(name, row.where)
        named.append(replace(row, name=name))
    return named
