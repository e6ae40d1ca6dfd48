"""The commands by name, and how any of them ends: an exit code, and at most one line of error."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from svdaudio.cli import (
    INTERRUPTED,
    batch,
    cache,
    checkpoints,
    doctor,
    evaluate,
    gc,
    history,
    mask,
    parameters,
    resume,
    run,
    schedule,
    server,
    store,
    sweep,
    train,
)
from svdaudio.cli.help import Commands
from svdaudio.errors import SvdAudioError

FAULT = 70

app = Commands(
    name="svdaudio",
    help="Sound that follows an image edit: two pictures in, ten seconds of audio out, every stage cached.",
    epilog="`svdaudio demo` shows all of it. Exit codes: 0 done, 1 failed, 2 bad input, 3 checkpoints, 4 store.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _panel, _commands in {
    "Sound": (run.demo, run.run, run.plan, run.baseline, resume.resume),
    "Many": (batch.batch, sweep.sweep),
    "Runs": (history.runs, history.show, history.diff, history.inspect),
    "Store": (gc.gc,),
    "Tools": (mask.mask, parameters.parameters, doctor.doctor),
}.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(schedule.app, name="schedule", rich_help_panel="Many")
app.add_typer(cache.app, name="cache", rich_help_panel="Store")
app.add_typer(store.app, name="store", rich_help_panel="Store")
app.add_typer(server.app, name="server", rich_help_panel="Tools")
app.add_typer(checkpoints.app, name="checkpoints", rich_help_panel="Tools")
app.add_typer(evaluate.app, name="evaluate", rich_help_panel="Many")
app.add_typer(train.app, name="train", rich_help_panel="Tools")


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"svdaudio {version('svdaudio')}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(  # pyright: ignore[reportUnusedFunction] - typer calls it
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. May stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del debug, version  # both have been dealt with before this is called
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def invoke(arguments: list[str]) -> int:
    """Run the command that `arguments` name, and turn every error into one line on standard error.

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
    except SvdAudioError as error:
        return _fail(error.line(), error.exit_code, debug=debug)
    except typer.TyperException as error:
        # A group without a command has shown its help, and has nothing to add.
        return _fail(_usage(error), error.exit_code, debug=debug) if error.format_message() else error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; nothing may be written any more, not even when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last place that can turn a fault into one line
        what = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "" if debug else " This is a fault of svdaudio; --debug shows where."
        return _fail(f"{what}.{hint}", FAULT, debug=debug)
    return result if isinstance(result, int) else 0


def _fail(line: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {line}\n")
    return code


def _usage(error: typer.TyperException) -> str:
    """A usage error on one line, with the command whose help says more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "svdaudio"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}. `{command} --help` says what there is."
