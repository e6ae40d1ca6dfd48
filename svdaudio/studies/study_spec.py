"""The specification of a parameter study: the search, the scenes, the seeds and the objective.

    spec = read_spec(Path("study.toml"))
    spec.method, spec.cases, spec.objective, spec.search.ranges

`docs/studies.md` has every key. Unknown keys are refused, and every value is checked before anything runs.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from svdaudio.config import flatten, unknown_parameter
from svdaudio.config.names import nearest_name
from svdaudio.engine.method import Method
from svdaudio.errors import ConfigError, InputError
from svdaudio.methods import find_method
from svdaudio.studies.objective import Objective
from svdaudio.studies.pairs import Row, read_rows, rows_of
from svdaudio.studies.sweep import MAX_SETTINGS, ParameterRange, combinations, draw_settings, range_of, setting_name

Kind = Literal["grid", "random", "optuna"]
Direction = Literal["maximize", "minimize"]
Baseline = Literal["defaults", "first"]
KEYS = ("title", "method", "variant", "pairs", "cases", "settings", "search", "seeds", "objective", "direction",
        "baseline")  # fmt: skip
SEARCH_KEYS: Mapping[Kind, tuple[str, ...]] = {
    "grid": ("kind", "parameters"),
    "random": ("kind", "parameters", "n", "seed"),
    "optuna": ("kind", "parameters", "n_trials", "seed"),
}
N_SEEDS = 3
"""Default number of seeds."""
MAX_SEEDS = 1000

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for settings."""

    kind: Kind
    ranges: tuple[ParameterRange, ...]
    n: int = 0
    """Draws of "random", trials of "optuna"."""
    seed: int = 0
    """Seed of the draws, or of Optuna's sampler."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that are searched."""
        return tuple(one.name for one in self.ranges)

    def settings(self) -> list[dict[str, Any]]:
        """The settings of a grid, or random ones, each once; none for Optuna, which picks them one by one.

        Raises:
            ConfigError: a grid over an interval without steps, or more settings than a million.
        """
        if self.kind == "optuna":
            return []
        found = combinations(self.ranges) if self.kind == "grid" else draw_settings(self.ranges, self.n, self.seed)
        return list({setting_name(one): one for one in found}.values())


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A specification that has been checked as far as it can be without a bundle."""

    raw: Mapping[str, Any]
    """The file's content, as plain JSON data."""
    path: Path
    title: str
    method: Method
    variant: str | None
    cases: Sequence[Row]
    """The scenes: files, clicks, and their own parameters if any."""
    settings: Mapping[str, Any]
    """Dotted name → value, for every run."""
    search: Search
    seeds: tuple[int, ...] | int
    """The seeds, or their number, counting from the configured one."""
    objective: Objective
    direction: Direction
    baseline: Baseline

    @property
    def maximizes(self) -> bool:
        """Whether more of the objective is better."""
        return self.direction == "maximize"


def read_spec(path: Path) -> Spec:
    """The specification in a TOML file.

    Raises:
        InputError: the file or one that it names cannot be used.
        ConfigError: a key or value in it is invalid.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(raw, allow_nan=False)
    except OSError as error:
        raise InputError(f"the study {path} cannot be read", got=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the study {path} is not valid TOML", got=str(error)) from error
    except TypeError as error:  # a date, a time
        raise ConfigError(f"the study {path} has a value of an unsupported type", got=str(error)) from error
    return spec_of(raw, path)


def spec_of(raw: Mapping[str, Any], path: Path) -> Spec:
    """The specification in the tables of a file.

    Args:
        raw: the tables.
        path: the file; paths in it are relative to its folder.

    Raises:
        InputError: a file cannot be used.
        ConfigError: a key or value is invalid.
    """
    where = path.name
    _check_keys(raw, KEYS, where)
    method = find_method(_text(raw, "method", where, "manipulate"))
    known = method.config.parameters()
    settings = flatten(_table(raw, "settings", where))
    for name in settings:
        if name not in known:
            raise unknown_parameter(name, known, where)
    settings = {name: known[name].anchored(value, path.parent) for name, value in settings.items()}
    search = _search(_table(raw, "search", where), method, where)
    seeds = _seeds(raw, where)
    if not isinstance(seeds, int) and "seed" in settings:
        raise ConfigError(f"{where}: 'seed' would have no effect with a list of seeds", fix="keep one of them")
    cases = _cases(raw, path, method)
    _check_own_parameters(cases, search.names)
    variant = raw.get("variant")
    return Spec(
        raw=raw,
        path=path,
        title=_text(raw, "title", where, path.stem),
        method=method,
        variant=None if variant is None else _text(raw, "variant", where),
        cases=cases,
        settings=settings,
        search=search,
        seeds=seeds,
        objective=Objective.parse(_text(raw, "objective", where)),
        direction=_choice(raw, "direction", where, get_args(Direction)),
        baseline=_choice(raw, "baseline", where, get_args(Baseline)),
    )


def _check_keys(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in table:
        if key not in known:
            near = nearest_name(key, known)
            fix = f"perhaps you mean '{near}'" if near else f"use one of {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key '{key}'", fix=fix)


def _text(table: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if value is None:
        raise ConfigError(f"{where}: the key '{key}' is missing", expected="a text")
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: '{key}' has an invalid value", expected="a text", got=repr(value))
    return value


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: '{key}' has an invalid value", expected=f"a table [{key}]", got=repr(value))
    return cast("Mapping[str, Any]", value)


def _choice(table: Mapping[str, Any], key: str, where: str, choices: tuple[Value, ...]) -> Value:
    value = table.get(key, choices[0])
    if value not in choices:
        known = " or ".join(f'"{one}"' for one in choices)
        raise ConfigError(f"{where}: '{key}' has an invalid value", expected=known, got=repr(value))
    return value


def _count(table: Mapping[str, Any], key: str, where: str, *, most: int, least: int = 1) -> int:
    value = table.get(key)
    if type(value) is not int or not least <= value <= most:
        expected = f"a whole number from {least} to {most}"
        raise ConfigError(f"{where}: '{key}' has an invalid value", expected=expected, got=repr(value))
    return value


def _search(table: Mapping[str, Any], method: Method, where: str) -> Search:
    where = f"{where} [search]"
    kind = _choice(table, "kind", where, get_args(Kind))
    _check_keys(table, SEARCH_KEYS[kind], where)
    known = method.config.parameters()
    parameters = flatten(_table(table, "parameters", where))
    if not parameters:
        raise ConfigError(
            f"{where}: no parameter to search",
            expected="a table [search.parameters]",
            fix='write a range of each parameter, such as svd.k = "1..8"',
        )
    for name, values in parameters.items():
        is_list = isinstance(values, list) and bool(cast("list[Any]", values))
        if not (is_list or (isinstance(values, str) and values.strip())):
            expected = 'a range such as "1..8" or "0.1,0.3", or a list of values'
            raise ConfigError(f"{where}: the range of '{name}' cannot be read", expected=expected, got=repr(values))
        if name == "seed":
            raise ConfigError(f"{where}: 'seed' cannot be searched", fix="give its values as `seeds`")
    return Search(
        kind=kind,
        ranges=tuple(range_of(name, values, known, source=where) for name, values in parameters.items()),
        n=0 if kind == "grid" else _count(table, "n" if kind == "random" else "n_trials", where, most=MAX_SETTINGS),
        seed=_count(table, "seed", where, most=2**32 - 1, least=0) if "seed" in table else 0,
    )


def _seeds(raw: Mapping[str, Any], where: str) -> tuple[int, ...] | int:
    value = raw.get("seeds", N_SEEDS)
    if type(value) is int and 1 <= value <= MAX_SEEDS:
        return value
    if isinstance(value, list):
        seeds = cast("list[object]", value)
        whole = [one for one in seeds if type(one) is int and 0 <= one < 2**63]
        if 1 <= len(seeds) == len(whole) == len(set(whole)) <= MAX_SEEDS:
            return tuple(whole)
    raise ConfigError(
        f"{where}: 'seeds' has an invalid value",
        expected=f"a count from 1 to {MAX_SEEDS}, or a list of different seeds such as [1, 2, 3]",
        got=repr(value)[:100],
    )


def _cases(raw: Mapping[str, Any], path: Path, method: Method) -> list[Row]:
    if ("cases" in raw) == ("pairs" in raw):
        got = "both" if "cases" in raw else "neither"
        raise ConfigError(
            f"{path.name}: the scenes must be given once", expected="`pairs`, a file, or [[cases]]", got=got
        )
    if "pairs" in raw:
        return read_rows(path.parent / _text(raw, "pairs", path.name), method)
    tables = raw["cases"]
    if not isinstance(tables, list) or not all(isinstance(one, Mapping) for one in cast("list[object]", tables)):
        raise ConfigError(f"{path.name}: 'cases' has an invalid value", expected="tables [[cases]]", got=repr(tables))
    return rows_of(cast("list[Mapping[str, Any]]", tables), path, method)


def _check_own_parameters(cases: Sequence[Row], searched: Collection[str]) -> None:
    """Refuse what scenes of a study cannot have: an output file, a seed, or a value of a searched parameter."""
    for case in cases:
        if case.out is not None:
            raise InputError(f"{case.where}: 'out' does not apply to a study, which makes many sounds of a scene")
        for name in case.parameters:
            if name == "seed":
                raise InputError(f"{case.where}: a scene of a study cannot have its own seed", fix="give `seeds`")
            if name in searched:
                raise InputError(f"{case.where}: '{name}' is searched, and cannot be set for a scene")


def is_number(value: object) -> bool:
    """Whether a parameter's value is a finite number, which can be an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
