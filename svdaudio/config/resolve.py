"""Merge all sources into one configuration, and record where each value came from.

Sources, weakest first: the defaults of the sections, the bundle's own settings, a TOML file, the command line
(options and `--set name=value` alike).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from svdaudio.config.names import flatten, nested, unknown_parameter
from svdaudio.config.run import RunConfig
from svdaudio.errors import ConfigError

Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True, kw_only=True)
class Resolved(Generic[Config]):
    """A configuration, where each value came from, and notes on unusual values."""

    config: Config
    sources: Mapping[str, str]
    """Dotted name → "default", "bundle mini", "run.toml", "command line" or "--set"."""
    remarks: Sequence[str]
    """One sentence each: values outside their recommended range, and parameters of other methods in a file."""


def parse_override(text: str, known: Collection[str]) -> tuple[str, Any]:
    """`svd.k=7` → ("svd.k", 7). The value is read as TOML, or as text if it is not valid TOML.

    Args:
        text: the override.
        known: names of parameters.

    Raises:
        ConfigError: the `=` is missing, or the parameter is unknown.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise ConfigError(
            "an override cannot be read", expected="name=value", got=repr(text), fix="write it like svd.k=7"
        )
    if name not in known:
        raise unknown_parameter(name, known, "--set")
    return name, parse_value(value)


def parse_value(text: str) -> Any:
    """Parse a value written as TOML; dates, and anything that is not valid TOML, are read as text."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, or more digits or brackets than can be read
        return text
    is_value = parsed.keys() == {"value"} and not isinstance(parsed["value"], date | time)
    return parsed["value"] if is_value else text


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML file as dotted name → value; neither names nor values are checked.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    try:
        return flatten(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read", got=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the configuration {path} is not valid TOML", got=str(error)) from error


def no_settings(bundle: str) -> Mapping[str, Any]:
    """Default `bundle_settings` callback: no settings."""
    del bundle
    return {}


def resolve(
    schema: type[Config],
    *,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    given_source: str = "command line",
    bundle_settings: Callable[[str], Mapping[str, Any]] = no_settings,
    elsewhere: Collection[str] = (),
) -> Resolved[Config]:
    """Merge every source into one configuration.

    Args:
        schema: the method's configuration.
        config_file: TOML with the same names (`[svd]`, `k = 7`).
        overrides: texts such as `svd.k=7`.
        given: dotted name → value of command line options; None means not given.
        given_source: where `given` comes from, if not from the command line.
        bundle_settings: called with the bundle's name; returns its own settings by dotted name.
        elsewhere: names of parameters that only other methods have. They are ignored in the file and in the bundle's
            settings, which serve several methods, and are errors anywhere else.

    Raises:
        ConfigError: a name is unknown (the most similar one is suggested), a value is invalid, or a parameter is given
            twice with different values.
    """
    known = schema.parameters()
    chosen: dict[str, Any] = {}
    sources = dict.fromkeys(known, "default")
    ignored_names: list[str] = []

    def take(values: Mapping[str, Any], source: str) -> None:
        for name, value in values.items():
            if name not in known:
                raise unknown_parameter(name, known, source)
            parameter = known[name]
            by_entry = parameter.is_table and isinstance(value, Mapping)
            entries = flatten({name: value}) if by_entry else {name: value}
            for entry in entries if parameter.is_table else ():  # replace values above and below it
                for other in [one for one in chosen if entry.startswith(f"{one}.") or one.startswith(f"{entry}.")]:
                    del chosen[other]
            chosen.update(entries)
            sources[parameter.name] = source

    if config_file is not None:
        values = read_config_file(config_file)
        values = {
            name: known[name].anchored(value, config_file.parent) if name in known else value
            for name, value in values.items()
        }
        ignored_names = [name for name in values if name not in known and name in elsewhere]
        take({name: value for name, value in values.items() if name not in ignored_names}, config_file.name)
    take({name: value for name, value in (given or {}).items() if value is not None}, given_source)
    for text in overrides:
        name, value = parse_override(text, known)
        if sources[known[name].name] in (given_source, "--set") and chosen.get(name, value) != value:
            raise ConfigError(
                f"'{name}' is given twice", got=f"{_text(chosen[name])} and {_text(value)}", fix="keep one of them"
            )
        take({name: value}, "--set")

    bundle = _validated(schema, {"bundle": chosen["bundle"]} if "bundle" in chosen else {}, sources).bundle
    settings = bundle_settings(bundle)
    take(
        {name: v for name, v in settings.items() if name not in chosen and (name in known or name not in elsewhere)},
        f"bundle {bundle}",
    )
    config = _validated(schema, chosen, sources)
    ignored = [f"{name} is not a parameter of this method and is ignored" for name in ignored_names]
    return Resolved(config=config, sources=sources, remarks=[*ignored, *remarks(config)])


def remarks(config: RunConfig) -> list[str]:
    """One sentence for each value outside its recommended range."""
    found: list[str] = []
    for name, parameter in config.parameters().items():
        if parameter.recommended is None:
            continue
        low, high = parameter.recommended
        value = config.value(name)
        if not low <= value <= high:
            found.append(f"{name} = {value:g} is outside the recommended {low:g} to {high:g}")
    return found


def _validated(schema: type[Config], values: Mapping[str, Any], sources: Mapping[str, str]) -> Config:
    try:
        return schema.model_validate(nested(values))
    except ValidationError as error:
        raise _config_error(schema, error, values, sources) from None


def _config_error(
    schema: type[RunConfig], error: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]
) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    known = schema.parameters()
    name = next((n for n in (".".join(location[:2]), location[0] if location else "") if n in known), None)
    if name is None:
        return ConfigError(first["msg"])
    source = sources.get(name, "default")
    return ConfigError(
        f"{name} has an invalid value" + (f" (from {source})" if source != "default" else ""),
        expected=known[name].expected,
        got=_text(values.get(name)),
    )


def _text(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
