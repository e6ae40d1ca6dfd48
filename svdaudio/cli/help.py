"""Help as plain text: rich, which typer's own help is made with, takes longer to import than all the rest."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

Function = Callable[..., Any]


_TYPES = {"int": "N", "int range": "N", "float": "X", "float range": "X", "str": "TEXT", "path": "FILE"}
"""Typer's name of a type → what help shows for a value of it."""


class PlainCommand(TyperCommand):
    """A command whose options are listed under the headings of their panels."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line: arguments under their metavars, in brackets if they are optional."""
        pieces = [self.options_metavar or ""]
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                name = _metavar(parameter)
                pieces.append(name if parameter.required else f"[{name}]")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options with their help."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                name = _metavar(parameter) if is_argument else re.sub("<([^>]+)>", _value_name, record[0])
                default = "Arguments" if is_argument else "Options"
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append((name, record[1]))
        for heading in sorted(panels, key=lambda name: (name != "Arguments", name == "Options")):
            with formatter.section(heading):
                formatter.write_dl(panels[heading])


def _metavar(argument: Any) -> str:
    """The name of an argument: RUN, or FILE... for several."""
    return argument.metavar or argument.name.upper()


def _value_name(found: re.Match[str]) -> str:
    """What help shows for a value: N, or the choices."""
    return _TYPES.get(found[1], found[1])


class GroupedCommands(TyperGroup):
    """A group whose commands are listed under the headings of their panels."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first line of its help."""
        del ctx
        panels: dict[str, list[tuple[str, str]]] = {}
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        for name, command in shown.items():
            text = inspect.cleandoc(command.help or "").partition("\n\n")[0]
            panel = getattr(command, "rich_help_panel", None)
            heading = panel if isinstance(panel, str) else "Commands"
            panels.setdefault(heading, []).append((name, " ".join(text.split())))
        width = max(len(name) for rows in panels.values() for name, _ in rows)
        for heading, rows in panels.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a command is defined, and where the help lists it."""

    module: str
    attribute: str
    """A function, or a group of commands."""
    panel: str
    hidden: bool = False


class LazyCommands(Mapping[str, Any]):
    """Commands by name, each imported on first use: a call needs one of them, the help all."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._places[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _load(name: str, place: Place) -> Any:
    found = getattr(import_module(place.module), place.attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name, group.rich_help_panel = name, place.panel
        return group
    alone = Commands(add_completion=False)
    alone.command(name, rich_help_panel=place.panel, hidden=place.hidden)(found)
    return get_command(alone)


class DefaultingCommands(GroupedCommands):
    """A group that runs its first command if no command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments that begin with no command and no option of the group as those of the default command."""
        first = args[0] if args else None
        if first is not None and first not in self.commands and first not in ctx.help_option_names:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """A group of commands with plain help. Docstrings are the help; their line breaks within paragraphs are not."""

    def __init__(self, **options: Any) -> None:
        plain: dict[str, Any] = {"cls": GroupedCommands, "rich_markup_mode": None, **options}
        super().__init__(**plain)

    def command(  # pyright: ignore[reportIncompatibleMethodOverride] - the options are those of typer
        self, name: str | None = None, **options: Any
    ) -> Callable[[Function], Function]:
        """Register a function as a command; see `typer.Typer.command`."""

        def register(function: Function) -> Function:
            paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
            text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
            plain: dict[str, Any] = {"cls": PlainCommand, "help": text, **options}
            return super(Commands, self).command(name, **plain)(function)

        return register
