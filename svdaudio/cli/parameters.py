"""`svdaudio parameters`: the parameters for `--set` and `--config`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.output import console, print_json, table


def parameters(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method.")] = "manipulate",
    *,
    bundle: options.Bundle = None,
    as_json: options.Json = False,
) -> None:
    """List the parameters of a method with their values, recommended ranges and meanings.

    A bundle may have its own defaults, which the column `from` shows.
    """
    from svdaudio.cli import sessions
    from svdaudio.config import resolve
    from svdaudio.methods import find_method, other_parameters

    found = find_method(method)
    resolved = resolve(
        found.config,
        given={"bundle": bundle},
        bundle_settings=lambda name: sessions.open_bundle(name).settings,
        elsewhere=other_parameters(found),
    )
    known = found.config.parameters()
    if as_json:
        facts: dict[str, Any] = {
            name: {
                "value": resolved.config.value(name),
                "from": resolved.sources[name],
                "default": one.default,
                "recommended": one.recommended,
                "expected": one.expected,
                "meaning": one.meaning,
            }
            for name, one in known.items()
        }
        print_json({"method": found.name, "bundle": resolved.config.bundle, "parameters": facts})
        return
    rows = [
        [
            name,
            _text(resolved.config.value(name)),
            "" if resolved.sources[name] == "default" else resolved.sources[name],
            "{:g} to {:g}".format(*one.recommended) if one.recommended else "",
            one.meaning,
        ]
        for name, one in known.items()
    ]
    screen = console()
    screen.print(f"{found.name}: {found.summary}", markup=False)
    screen.print(table(["parameter", "value", "from", "recommended", "meaning"], rows))


def _text(value: object) -> str:
    """A value as it is written after `--set NAME=`."""
    if value is None or value == []:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
