"""Reads settings from a preset, a TOML or YAML file and the command line, and writes an example file."""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from svdaudio.config.names import flatten, nearest_name, nested
from svdaudio.config.resolve import parse_value
from svdaudio.config.run import Parameters, described_parameters
from svdaudio.errors import ConfigError
from svdaudio.files import read_text
from svdaudio.pretraining.settings import PRESETS, TrainSettings

S = TypeVar("S", bound=TrainSettings)

FILES = ("init", "text.synonyms")
"""Settings that may name a file, relative to the settings file."""
_WIDTH = 100


def resolve_settings(
    schema: type[S], *, preset: str = "default", file: Path | None = None, overrides: Sequence[str] = ()
) -> S:
    """Settings from all sources in increasing precedence: defaults, preset, file, overrides.

    Args:
        schema: of the training.
        preset: name of a preset.
        file: TOML or YAML with the names of the schema, nested or dotted.
        overrides: texts such as `batch=32`.

    Raises:
        ConfigError: a name is unknown, a value is invalid, or the file cannot be read.
    """
    known, presets = parameters_of(schema), PRESETS[schema]
    given = {} if file is None else read_table(file)
    if preset not in presets:
        raise ConfigError("unknown preset", expected=" or ".join(presets), got=preset)
    chosen = dict(presets[preset].settings)
    sources = dict.fromkeys(chosen, f"preset {preset}")
    for name, value in _dotted(given, known, str(file)).items():
        is_path = name in FILES and isinstance(value, str) and value not in ("", "random") and file is not None
        chosen[name] = str(file.parent / value) if is_path and file is not None else value
        sources[name] = str(file)
    for text in overrides:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError("invalid setting", expected="name=value, such as batch=32", got=repr(text))
        if name not in tuple(known):
            raise unknown_setting(name, known, "--set")
        chosen[name], sources[name] = parse_value(value), "--set"
    try:
        settings = schema.model_validate(nested(chosen))
    except ValidationError as error:
        raise _invalid(error, known, chosen, sources) from None
    if isinstance(synonyms := chosen.get("text.synonyms"), str) and synonyms:
        table = {"text.synonyms": _synonyms(Path(synonyms))}
        return schema.model_validate(nested({**chosen, **table}))
    return settings


@cache
def parameters_of(schema: type[TrainSettings]) -> Parameters:
    """All settings by their dotted names."""
    return Parameters(described_parameters(schema))


def flat(settings: TrainSettings) -> dict[str, Any]:
    """Dotted name → value as plain JSON data."""
    tables = settings.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name in parameters_of(type(settings)):
        value: Any = tables
        for part in name.split("."):
            value = value[part]
        found[name] = value
    return found


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML or YAML file.

    Raises:
        ConfigError: the file is missing, is neither TOML nor YAML, or is not a table of names.
    """
    import yaml

    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    if not is_yaml and path.suffix.lower() != ".toml":
        raise ConfigError(f"the settings {path} cannot be read", expected="a name that ends in .toml, .yaml or .yml")
    try:
        text = read_text(path).removeprefix("\ufeff")
        table: Any = yaml.safe_load(text) if is_yaml else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"the settings {path} cannot be read", got=error.strerror or str(error)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        what = f"the settings {path} are not {'YAML' if is_yaml else 'TOML'}"
        raise ConfigError(what, got=str(error)) from error
    if table is None:
        return {}
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in cast("dict[Any, Any]", table)):
        raise ConfigError(f"the settings {path} cannot be read", expected="names with values", got=type(table).__name__)
    return cast("dict[str, Any]", table)


def example_file(schema: type[TrainSettings], *, preset: str = "default") -> str:
    """A commented TOML file with all settings at the values of a preset."""
    values = flat(resolve_settings(schema, preset=preset))
    lines = [f"# All settings, with the values of the preset {preset}. Paths are relative to this file.", ""]
    section = ""
    ordered = sorted(parameters_of(schema).values(), key=lambda one: "." in one.name)
    for one in ordered:
        head, _, leaf = one.name.rpartition(".")
        if head != section:
            lines += [f"[{head}]", ""]
            section = head
        comment = f"{one.meaning} ({one.expected})"
        lines += [f"# {line}" for line in textwrap.wrap(comment, _WIDTH)]
        lines += [f"{leaf} = {json.dumps(values[one.name], ensure_ascii=False)}", ""]
    return "\n".join(lines)


def _dotted(tables: Mapping[str, Any], known: Parameters, source: str, prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted names; the value of a table setting stays a table.

    Raises:
        ConfigError: a name is unknown, or given twice.
    """
    found: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in known:
            below = _dotted(cast("Mapping[str, Any]", value), known, source, f"{name}.")
        elif name in known:
            below = {name: value}
        else:
            raise unknown_setting(name, known, source)
        for duplicate in found.keys() & below.keys():
            raise ConfigError(f"'{duplicate}' is given twice in {source}", fix="keep one of them")
        found.update(below)
    return found


def unknown_setting(name: str, known: Parameters, source: str) -> ConfigError:
    """The error for an unknown setting, with the most similar name."""
    near = nearest_name(name, known)
    fix = f"perhaps you mean '{near}'" if near else "`--example-config` lists them"
    return ConfigError(f"unknown setting '{name}' (from {source})", fix=fix)


def _synonyms(path: Path) -> dict[str, list[str]]:
    table = flatten(read_table(path))
    for word, others in table.items():
        if not isinstance(others, list) or not all(isinstance(one, str) for one in cast("list[Any]", others)):
            raise ConfigError(
                f"the synonyms {path} cannot be read",
                expected='lists of words: dog = ["hound"]',
                got=f"{word} = {others}",
            )
    return table


def _invalid(
    error: ValidationError, known: Parameters, chosen: Mapping[str, Any], sources: Mapping[str, str]
) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    name = next((n for n in (".".join(location[:2]), location[0] if location else "") if n in known), None)
    if name is None:
        return ConfigError(str(first["msg"]))
    value = chosen.get(name)
    return ConfigError(
        f"{name} has an invalid value (from {sources.get(name, 'default')})",
        expected=known[name].expected,
        got=repr(value) if isinstance(value, str) else value,
    )
