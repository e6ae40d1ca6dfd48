"""The configuration of a run: the parameters that every method has, and the description of each.

A method's own configuration derives from `RunConfig` and adds the sections that it uses:

    class BaselineConfig(RunConfig):
        remix: RemixConfig = RemixConfig()
        generate: GenerateConfig = GenerateConfig()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, cast

from pydantic import BaseModel, Field

from svdaudio.config.names import nested, unknown_parameter
from svdaudio.config.sections import ExecutionConfig, Section, Whole, parameter

EXECUTION_PREFIX = "execution."
"""Parameters below this prefix say how to compute, not what: they never enter a key."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The description of one parameter, for help texts, checks and remarks."""

    name: str
    """Dotted."""
    default: Any
    meaning: str
    expected: str
    recommended: tuple[float, float] | None

    @property
    def execution_only(self) -> bool:
        """Whether it changes only speed and rounding, and so enters no key."""
        return self.name.startswith(EXECUTION_PREFIX)


class RunConfig(Section):
    """The parameters that every method has. A method's own configuration derives from it."""

    seed: Whole = parameter(42, "seed of every random draw", "a whole number from 0 to 2^63 - 1", ge=0, lt=2**63)
    bundle: Annotated[str, Field(min_length=1)] = parameter("mini", "checkpoint bundle", "the name of a bundle")
    execution: ExecutionConfig = ExecutionConfig()

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """Every parameter by its dotted name: the method's own, then what all methods have."""
        return _parameters_of(cls)

    def value(self, dotted: str) -> Any:
        """One value by its dotted name, as plain JSON data: points as lists of [x, y, label].

        Raises:
            ConfigError: there is no such parameter.
        """
        if dotted not in self.parameters():
            raise unknown_parameter(dotted, self.parameters())
        found: Any = self
        for part in dotted.split("."):
            found = getattr(found, part)
        return [list(entry) for entry in cast("tuple[Any, ...]", found)] if isinstance(found, tuple) else found

    def flat(self) -> dict[str, Any]:
        """Every parameter by its dotted name, as plain JSON data."""
        return {name: self.value(name) for name in self.parameters()}

    def tables(self) -> dict[str, Any]:
        """Every parameter as nested tables of plain JSON data, as records keep them."""
        return nested(self.flat())


@cache
def _parameters_of(schema: type[RunConfig]) -> dict[str, Parameter]:
    found = list(_walk(schema))
    common = tuple(RunConfig.model_fields)
    own = [one for one in found if one.name.partition(".")[0] not in common]
    return {one.name: one for one in [*own, *(one for one in found if one not in own)]}


def _walk(model: type[BaseModel], prefix: str = "") -> Iterable[Parameter]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, f"{prefix}{name}.")
        else:
            extra = cast("dict[str, Any]", info.json_schema_extra)
            recommended = extra.get("recommended")
            yield Parameter(
                name=prefix + name,
                default=info.default,
                meaning=info.description or "",
                expected=extra["expected"],
                recommended=(recommended[0], recommended[1]) if recommended else None,
            )
