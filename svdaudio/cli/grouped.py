"""Options that several commands share, as dataclasses: a command takes the whole group as one argument.

    @dataclass(frozen=True, kw_only=True)
    class Output:
        as_json: options.Json = False

    @grouped
    def show(run: options.Run, *, output: Output) -> None: ...

Typer then sees `--json`, and the command receives an `Output`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every argument that is a dataclass replaced by that dataclass's fields."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Any], tuple[str, ...]]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            group = _group_parameters(hint)
            groups[name] = hint, tuple(one.name for one in group)
            parameters += group
        else:
            parameters.append(parameter.replace(annotation=hint))

    @functools.wraps(command)
    def expanded(*args: Any, **given: Any) -> None:
        for name, (group, own) in groups.items():
            given[name] = group(**{one: given.pop(one) for one in own if one in given})
        command(*args, **given)

    expanded.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    del expanded.__wrapped__  # typer would read the signature of the original
    return expanded


def _group_parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if one.default is MISSING else one.default,
            annotation=hints[one.name],
        )
        for one in fields(group)
    ]
