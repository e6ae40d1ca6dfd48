"""The command that makes the sounds of a run again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from svdaudio.config import flatten
from svdaudio.engine.method import Method
from svdaudio.store.runs import RunRecord

NOT_GIVEN = ("default", "bundle ")
"""How the sources of values begin that nobody gave."""


def was_given(run: RunRecord, parameter: str) -> bool:
    """Whether the user chose the value of a parameter: it is neither the default nor the bundle's."""
    return not run.source(parameter).startswith(NOT_GIVEN)


def command_of(run: RunRecord, method: Method) -> str:
    """A command line: the files by their names alone, and every value that was given, as `--set`.

    Args:
        run: the run.
        method: its method; files that parameters name are among the parameters.
    """
    files = [Path(run.files[name].path).name for name in method.files if name in run.files]
    words = ["svdaudio", "run", *files, "--method", run.kind]
    for name, value in flatten(run.config).items():
        if value is not None and was_given(run, name):
            words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)
