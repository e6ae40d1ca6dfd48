"""Many pairs of pictures from one file, each line checked before anything is computed.

    pairs = read_pairs(Path("pairs.csv"))
    for one in prepare(pairs, common, open_bundle): one.name, one.request

A CSV file has a heading and one pair a line; a JSONL file one object a line. `original` and `edited` are paths, seen
from the file's own folder; `name` and `out` are optional; every other column is a parameter by its dotted name, the
clicks `remove` and `add` among them. A folder stands for the `pairs.csv` or `pairs.jsonl` in it or, if there is none,
for every `*.json` in it that describes a scene as `examples/scenes.json` does.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from svdaudio.config import PARAMETERS, Resolved, flatten, parse_override, resolve, unknown_parameter
from svdaudio.engine.plan import ModelDigests, Request, check_pictures, manipulate_request
from svdaudio.errors import InputError, SvdAudioError
from svdaudio.files import check_place
from svdaudio.studies.scenes import read_scene

FILES = ("original", "edited")
TEXTS = ("name", "out")
N_LINES_NAMED = 8

Row = TypeVar("Row")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One line of a file of pairs."""

    name: str
    """Unique within the file."""
    original: Path
    edited: Path
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted name → value, clicks included."""
    out: Path | None = None
    """Where the sound of the edit is copied to."""
    where: str
    """The place that errors name: "pairs.csv, line 3"."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What holds for every pair that does not say otherwise."""

    config_file: Path | None = None
    overrides: Sequence[str] = ()
    """Texts such as `svd.k=7`."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted name → value from command line options."""
    targets: tuple[str, ...] | None = None
    """Nodes to compute; those of the method and both baselines if not given."""


class DescribedBundle(ModelDigests, Protocol):
    """What preparing a pair needs of a bundle: its digests, and the settings that it recommends."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Dotted configuration name → value recommended with these models."""
        ...


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A pair, checked, with all that enters its run."""

    name: str
    request: Request
    resolved: Resolved
    out: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What tells this pair from the others, for the table: dotted name → value."""


def read_pairs(path: Path) -> list[Pair]:
    """The pairs that a CSV file, a JSONL file or a folder names.

    Raises:
        InputError: the file cannot be read, holds no pair, or a line of it says something that has no meaning.
        ConfigError: a column that is no parameter.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise InputError(f"{path} is no file of pairs", expected="a .csv or .jsonl file, or a folder")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise InputError(f"the pairs {path} cannot be read", got=reason) from error
    rows = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _jsonl_rows(text, path)
    return _named(_each(rows, lambda row: _pair(row[1], row[0], path.parent)), path)


def prepare(pairs: Sequence[Pair], common: Common, open_bundle: Callable[[str], DescribedBundle]) -> list[Prepared]:
    """Check every pair against its pictures and parameters, and make its request. Nothing is computed.

    Args:
        pairs: as `read_pairs` gives them.
        common: what holds where a pair does not say otherwise.
        open_bundle: finds a bundle by its name; asked once a name.

    Raises:
        SvdAudioError: what is wrong with the first pair that cannot be used, with its place in the file and those of
            the others.
    """
    bundles: dict[str, DescribedBundle] = {}

    def bundle_named(name: str) -> DescribedBundle:
        if name not in bundles:
            bundles[name] = open_bundle(name)
        return bundles[name]

    checked: dict[Path, tuple[int, int]] = {}
    return list(
        _each(((pair.where, pair) for pair in pairs), lambda row: _prepare(row[1], common, bundle_named, checked))
    )


def _prepare(
    pair: Pair,
    common: Common,
    bundle_named: Callable[[str], DescribedBundle],
    checked: dict[Path, tuple[int, int]],
) -> Prepared:
    overrides = [text for text in common.overrides if parse_override(text)[0] not in pair.parameters]
    resolved = resolve(
        config_file=common.config_file,
        overrides=overrides,
        given={**common.given, **pair.parameters},
        given_source=pair.where,
        bundle_settings=lambda name: bundle_named(name).settings,
    )
    ours = {name: "command line" for name in common.given if name not in pair.parameters}
    resolved = replace(resolved, sources={**resolved.sources, **ours})
    config = resolved.config
    request = manipulate_request(pair.original, pair.edited, config, bundle_named(config.bundle), common.targets)
    check_pictures(request, checked)
    if pair.out is not None:
        check_place(pair.out, kind=".wav", inputs=(pair.original, pair.edited))
    settings = {name: value for name, value in pair.parameters.items() if name not in ("remove", "add")}
    return Prepared(name=pair.name, request=request, resolved=resolved, out=pair.out, settings=settings)


def _each(rows: Iterator[tuple[str, Row]], use: Callable[[tuple[str, Row]], Result]) -> Iterator[Result]:
    """`use` of every row; if some cannot be used, an error about the first that names the places of the others."""
    results: list[Result] = []
    errors: list[tuple[str, SvdAudioError]] = []
    for where, row in rows:
        try:
            results.append(use((where, row)))
        except SvdAudioError as error:
            errors.append((where, error))
    if errors:
        (where, first), *others = errors
        named = "; ".join(place for place, _ in others[:N_LINES_NAMED]) + ("; …" if len(others) > N_LINES_NAMED else "")
        more = f" (and {len(others)} more: {named})" if others else ""
        raise type(first)(
            f"{where}: {first.what}{more}", expected=first.expected, got=first.got, fix=first.fix
        ) from first
    return iter(results)


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        where = f"{path.name}, line 1"
        for name in FILES:
            if name not in columns:
                raise InputError(f"{where}: there is no column '{name}'", got=", ".join(columns) or "an empty file")
        for name in columns:
            if name not in (*FILES, *TEXTS, *PARAMETERS):
                raise unknown_parameter(name, where)
        if len(set(columns)) < len(columns):
            raise InputError(f"{where}: a column is there twice", got=", ".join(columns))
        for row in reader:
            cells = cast("dict[str | None, Any]", row)
            if any(cells.values()):
                yield f"{path.name}, line {reader.line_num}", _cells(cells)
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num} is no CSV", got=error) from error


def _cells(cells: dict[str | None, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, text in cells.items():
        if name is None:
            row[""] = text  # told by `_pair`, with the line
        elif text is not None and text.strip():
            row[name] = text.strip() if name in (*FILES, *TEXTS) else parse_override(f"{name}={text}")[1]
    return row


def _jsonl_rows(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path.name}, line {number}", line


def _pair(row: dict[str, Any] | str, where: str, folder: Path) -> Pair:
    """One row as a pair."""
    if isinstance(row, str):
        try:
            found = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise InputError("this is no JSON", got=error) from error
        if not isinstance(found, dict):
            raise InputError("this is no JSON object", got=row[:60])
        row = flatten(cast("dict[str, Any]", found))
    if "" in row:
        raise InputError("there are more cells than columns", got=row[""], fix='write a click as "120,80", in quotes')
    _check_texts(row)
    parameters = {name: value for name, value in row.items() if name not in (*FILES, *TEXTS) and value is not None}
    for name in parameters:
        if name not in PARAMETERS:
            raise unknown_parameter(name)
    original, edited = (folder / row[name] for name in FILES)
    return Pair(
        name=str(row.get("name", "")),
        original=original,
        edited=edited,
        parameters=parameters,
        out=folder / row["out"] if "out" in row else None,
        where=where,
    )


def _check_texts(row: Mapping[str, Any]) -> None:
    """Refuse a row without both pictures, and texts that are none."""
    for name in FILES:
        if not isinstance(row.get(name), str):
            raise InputError(f"the picture '{name}' is missing", expected="a path")
    for name in TEXTS:
        if name in row and not isinstance(row[name], str):
            raise InputError(f"'{name}' is no text", got=row[name])
    for name in (*FILES, *TEXTS):
        if (text := row.get(name)) and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
            raise InputError(f"'{name}' holds what is no letter", got=ascii(text))


def _read_folder(folder: Path) -> list[Pair]:
    there = [folder / name for name in ("pairs.csv", "pairs.jsonl") if (folder / name).is_file()]
    if len(there) > 1:
        raise InputError(f"{folder} holds two files of pairs", got="pairs.csv and pairs.jsonl", fix="name one of them")
    if there:
        return read_pairs(there[0])
    scenes = sorted(folder.glob("*.json"))
    if not scenes:
        raise InputError(
            f"there are no pairs in {folder}", expected="pairs.csv, pairs.jsonl, or scenes as *.json files"
        )
    return _named(_each(((path.name, path) for path in scenes), lambda row: _scene_pair(row[1])), folder)


def _scene_pair(path: Path) -> Pair:
    scene = read_scene(path)
    clicks = {"remove": scene.remove, "add": scene.add}
    return Pair(
        name=path.stem,
        original=scene.original,
        edited=scene.edited,
        parameters={name: [list(point) for point in points] for name, points in clicks.items()},
        where=path.name,
    )


def _named(pairs: Iterator[Pair], path: Path) -> list[Pair]:
    """Every pair with a name of its own; names that were given twice, and sounds over each other, are refused."""
    found = list(pairs)
    if not found:
        raise InputError(f"there are no pairs in {path}", fix="write one a line")
    taken: dict[str, str] = {}
    outs: dict[Path, str] = {}
    for pair in found:
        for key, places, what in ((pair.name, taken, "the name"), (pair.out, outs, "the file")):
            if key and cast("dict[Any, str]", places).setdefault(key, pair.where) != pair.where:
                raise InputError(
                    f"{pair.where}: {what} is taken already", got=f"{key}, as in {cast('dict[Any, str]', places)[key]}"
                )
    named: list[Pair] = []
    for pair in found:
        name, number = pair.name or f"{pair.original.stem}-{pair.edited.stem}", 1
        while not pair.name and name in taken:
            number += 1
            name = f"{pair.original.stem}-{pair.edited.stem}-{number}"
        taken.setdefault(name, pair.where)
        named.append(replace(pair, name=name))
    return named
