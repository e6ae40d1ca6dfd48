"""The command line that reproduces the sounds of a run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from svdaudio.config import flatten
from svdaudio.engine.method import Method
from svdaudio.store.runs import RunRecord

NOT_GIVEN = ("default", "bundle ")
"""Prefixes of the sources of values that the user did not choose."""


def was_given(run: RunRecord, parameter: str) -> bool:
    """Whether the user chose the value of a parameter: it is neither the default nor the bundle's."""
    return not run.source(parameter).startswith(NOT_GIVEN)


def command_of(run: RunRecord, method: Method) -> str:
    """A command line with the bare names of the files, and every value that the user gave as `--set`.

    Args:
        run: the run.
        method: its method; files named by parameters appear as parameters.
    """
    files = [Path(run.files[name].path).name for name in method.files if name in run.files]
    words = ["svdaudio", "run", *files, "--method", run.kind]
    for name, value in flatten(run.config).items():
        if value is not None and was_given(run, name):
            words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)
