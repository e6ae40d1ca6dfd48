"""The commands by name, and how errors become an exit code and one line."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from svdaudio.cli import INTERRUPTED
from svdaudio.cli.help import Commands, GroupedCommands, LazyCommands, Place
from svdaudio.errors import SvdAudioError
from svdaudio.text import printable

FAULT = 70
UNWRITABLE = 4
"""The exit code where a file or a stream cannot be written or read."""
N_REASONS = 40
"""Rows of a file whose faults are listed before the error."""
N_NAME = 200
"""Letters of a path in an error."""

_PANELS: dict[str, dict[str, str]] = {
    "Sound": {
        "studio": "studio:studio",
        "demo": "run:demo",
        "run": "run:run",
        "plan": "run:plan",
        "baseline": "run:baseline",
        "mix": "mix:mix",
        "mute": "mix:mute",
        "ciap": "ciap:ciap",
        "hear": "hear:hear",
        "resume": "resume:resume",
    },
    "Many": {
        "batch": "batch:batch",
        "sweep": "sweep:sweep",
        "study": "study:study",
        "ablate": "ablate:ablate",
        "schedule": "schedule:app",
        "evaluate": "evaluate:app",
    },
    "Runs": {
        "runs": "history:runs",
        "show": "history:show",
        "compare": "compare:compare",
        "diff": "compare:compare",
        "inspect": "history:inspect",
        "candidates": "candidates:candidates",
        "pick": "candidates:pick",
        "report": "report:report",
    },
    "Store": {"gc": "gc:gc", "cache": "cache:app", "store": "store:app"},
    "Tools": {
        "mask": "mask:mask",
        "parameters": "parameters:parameters",
        "doctor": "doctor:doctor",
        "server": "server:app",
        "resident": "resident:app",
        "checkpoints": "checkpoints:app",
        "train": "train:app",
    },
}
"""Panel of the help → command → module in this package and its function or group."""
_FORMER = ("diff",)
"""Former names of commands, which scripts use and help does not list."""


class _Root(GroupedCommands):
    """The commands, of which only the one that is called is imported."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: Any = LazyCommands(
            {
                name: Place(module=f"svdaudio.cli.{module}", attribute=attribute, panel=panel, hidden=name in _FORMER)
                for panel, commands in _PANELS.items()
                for name, (module, _, attribute) in ((name, where.partition(":")) for name, where in commands.items())
            }
        )


app = Commands(
    name="svdaudio",
    cls=_Root,
    help="Generate sound from pictures and from edits of pictures. Every stage is cached.",
    epilog="`svdaudio demo` runs an example. Exit codes: 0 done, 1 failed, 2 bad input, 3 checkpoints, 4 store.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"svdaudio {version('svdaudio')}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(  # pyright: ignore[reportUnusedFunction] - typer calls it
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Allowed anywhere on the line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del debug, version  # both have been handled before this is called
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def invoke(arguments: list[str]) -> int:
    """Run the command in `arguments`, and turn every error into one line on standard error.

    Args:
        arguments: as typed, without the program's name.

    Returns:
        The exit code.
    """
    debug = "--debug" in arguments
    try:
        result = app(
            args=[argument for argument in arguments if argument != "--debug"],
            prog_name="svdaudio",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()  # the reader of our output has left
        return 1
    except Exception as error:  # noqa: BLE001 - the last place that can turn a bug into one line
        if debug:
            traceback.print_exc()
        for reason in getattr(error, "reasons", ())[:N_REASONS]:
            sys.stderr.write(f"  {reason}\n")
        line, code = _explain(error)
        if code == FAULT and not debug:
            line += " This is a bug in svdaudio; --debug shows the traceback."
        if line:
            sys.stderr.write(f"error: {printable(line)}\n")
        return code
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[str, int]:
    """An error as one line, and the exit code."""
    if isinstance(error, SvdAudioError):
        return (f"{error.node}: " if error.node else "") + error.line(), error.exit_code
    if isinstance(error, typer.TyperException):
        # A group without a command has printed its help already.
        return _usage(error) if error.format_message() else "", error.exit_code
    if isinstance(error, OSError):
        return _machine_error(error), UNWRITABLE
    if isinstance(error, MemoryError):
        return "out of memory. Close other programs, or raise the limit.", 1
    return " ".join(f"{type(error).__name__}: {error}".split()) + ".", FAULT


def _machine_error(error: OSError) -> str:
    """An error of the operating system, in words."""
    try:
        Path.cwd()
    except OSError:
        return "the current folder no longer exists. Change to another one."
    if error.errno in (errno.ENOSPC, errno.EBADF, errno.EIO) and error.filename is None:
        _silence_stdout()
        return f"standard output cannot be written: {error.strerror}."
    name = str(error.filename or "")
    shown = name if len(name) <= N_NAME else f"{name[:N_NAME]}…"
    return printable(f"{error.strerror or error}{f': {shown}' if shown else ''}.")


def _silence_stdout() -> None:
    """Discard all further output, also that of Python's exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: typer.TyperException) -> str:
    """A usage error on one line, with the command whose help says more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "svdaudio"
    message = " ".join(error.format_message().split()).rstrip(".")
    end = "" if message.endswith("?") else "."
    return f"{message}{end} `{command} --help` shows its usage."
