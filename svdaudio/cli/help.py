"""Help texts that differ from typer's: a light one for the program, one with the parameters of a method."""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup


class GroupedCommands(TyperGroup):
    """Help with the commands under their headings, without rich: loading that alone takes longer than all the rest."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help as plain text."""
        self.rich_markup_mode = None
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first line of its help, under the heading of its panel."""
        del ctx
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            text = inspect.cleandoc(command.help or "").partition("\n\n")[0]
            panel = getattr(command, "rich_help_panel", None)
            heading = panel if isinstance(panel, str) else "Commands"
            panels.setdefault(heading, []).append((name, " ".join(text.split())))
        width = max(len(name) for rows in panels.values() for name, _ in rows)
        for heading, rows in panels.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def with_parameters(method: str) -> type[TyperCommand]:
    """The class of a command whose help ends with every parameter of a method, as `--set` and `--config` take them."""

    class WithParameters(TyperCommand):
        def format_help(self, ctx: Any, formatter: Any) -> None:
            super().format_help(ctx, formatter)
            _print_parameters(method)

    return WithParameters


def _print_parameters(method: str) -> None:
    from svdaudio.cli.output import console, table
    from svdaudio.methods import find_method

    rows = [
        [
            name,
            _text(parameter.default),
            "{:g} to {:g}".format(*parameter.recommended) if parameter.recommended else "",
            parameter.meaning,
        ]
        for name, parameter in find_method(method).config.parameters().items()
    ]
    screen = console()
    screen.print(
        table(["parameter", "default", "recommended", "meaning"], rows, title="Parameters, for --set and --config")
    )
    screen.print("\nA bundle may recommend other defaults; `svdaudio show RUN` says what a run used.")


def _text(value: object) -> str:
    """A default as one would write it."""
    if value is None or value == ():
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
