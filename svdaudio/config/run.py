"""The configuration of a run: the parameters that every method has, and their descriptions.

A method's own configuration derives from `RunConfig` and adds the sections that it uses:

    class BaselineConfig(RunConfig):
        remix: RemixConfig = RemixConfig()
        generate: GenerateConfig = GenerateConfig()
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field

from svdaudio.config.names import nested, unknown_parameter
from svdaudio.config.objects import anchored
from svdaudio.config.sections import ExecutionConfig, Section, Whole, parameter
from svdaudio.config.sources import anchored_files
from svdaudio.errors import ConfigError

EXECUTION_PREFIX = "execution."
"""Parameters with this prefix affect only how results are computed, and are never part of a key."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The description of one parameter, for help texts, checks and remarks."""

    name: str
    """Dotted."""
    default: Any
    meaning: str
    expected: str
    recommended: tuple[float, float] | None
    is_table: bool = False
    """Whether it may hold values by name: `objects.cat.points` is then a value of `objects`."""
    paths: Literal["objects", "files"] | None = None
    """The paths in its values: mask files of objects, or each value of a table."""
    former: Any = None
    """The value that describes runs from before the parameter existed; None if it always has."""

    @property
    def execution_only(self) -> bool:
        """Whether it changes only speed and rounding, and so is not part of any key."""
        return self.name.startswith(EXECUTION_PREFIX)

    def anchored(self, value: Any, folder: Path) -> Any:
        """A value whose relative paths are resolved against the folder of the file that contains it."""
        if self.paths is None:
            return value
        return anchored(value, folder) if self.paths == "objects" else anchored_files(value, folder)


class Parameters(Mapping[str, Parameter]):
    """Parameters by their dotted names. A name below that of a table refers to the table."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._by_name = {one.name: one for one in parameters}

    def __getitem__(self, name: str) -> Parameter:
        if (found := self._by_name.get(name)) is not None:
            return found
        *above, _ = itertools.accumulate(name.split("."), lambda before, part: f"{before}.{part}")
        for place in above:
            if place in self._by_name and self._by_name[place].is_table:
                return self._by_name[place]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


class RunConfig(Section):
    """The parameters that every method has. A method's own configuration derives from it."""

    seed: Whole = parameter(42, "seed of every random draw", "a whole number from 0 to 2^63 - 1", ge=0, lt=2**63)
    bundle: Annotated[str, Field(min_length=1)] = parameter("mini", "checkpoint bundle", "the name of a bundle")
    execution: ExecutionConfig = ExecutionConfig()

    @classmethod
    def parameters(cls) -> Parameters:
        """Every parameter by its dotted name: the method's own, then those of all methods."""
        return _parameters_of(cls)

    def value(self, dotted: str) -> Any:
        """One value by its dotted name, as plain JSON data: points as lists of [x, y, label].

        Raises:
            ConfigError: no parameter or entry of a table has that name.
        """
        if dotted not in self.parameters():
            raise unknown_parameter(dotted, self.parameters())
        found: Any = self
        for part in dotted.split("."):
            try:
                found = found[part] if isinstance(found, dict) else getattr(found, part)
            except (KeyError, AttributeError):
                raise ConfigError(f"'{dotted}' has no value") from None
        return _plain(found)

    def flat(self) -> dict[str, Any]:
        """Every parameter by its dotted name, as plain JSON data."""
        return {name: self.value(name) for name in self.parameters()}

    def tables(self) -> dict[str, Any]:
        """Every parameter as nested tables of plain JSON data, as records keep them."""
        return nested(self.flat())


def _plain(value: Any) -> Any:
    """Tuples as lists, and entries of tables as mappings of the values that were given."""
    if isinstance(value, BaseModel):
        return _plain({name: getattr(value, name) for name in value.model_fields_set if getattr(value, name)})
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in cast("dict[str, Any]", value).items()}
    return [_plain(one) for one in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


@cache
def _parameters_of(schema: type[RunConfig]) -> Parameters:
    found = list(described_parameters(schema))
    common = tuple(RunConfig.model_fields)
    own = [one for one in found if one.name.partition(".")[0] not in common]
    return Parameters([*own, *(one for one in found if one not in own)])


def described_parameters(model: type[BaseModel], prefix: str = "") -> Iterable[Parameter]:
    """The parameters of a schema whose fields are made by `parameter` or are such schemas."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from described_parameters(info.annotation, f"{prefix}{name}.")
        else:
            extra = cast("dict[str, Any]", info.json_schema_extra)
            recommended = extra.get("recommended")
            yield Parameter(
                name=prefix + name,
                default=info.default,
                meaning=info.description or "",
                expected=extra["expected"],
                recommended=(recommended[0], recommended[1]) if recommended else None,
                is_table=extra.get("is_table", False),
                paths=extra.get("paths"),
                former=extra.get("former"),
            )
