"""Processes started where SIGINT is ignored, as in the background of a shell script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from svdaudio.processes import python_command

CHILD = """
import os, signal, sys, time
try:
    print(os.getpid(), signal.getsignal(signal.SIGINT) == signal.SIG_IGN, *sys.argv[1:], sep="|", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture(params=["ignored", "default"])
def _disposition(request):
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN if request.param == "ignored" else signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_disposition")
def test_an_interrupt_reaches_a_child_whatever_its_parent_ignores():
    command = python_command("-c", CHILD, "an argument", "-x")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == f"{child.pid}|False|an argument|-x\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == "interrupted\n"
    assert child.returncode == 0


def test_the_command_is_unchanged_where_no_signal_is_ignored():
    code = "import signal; from svdaudio.processes import python_command; print(len(python_command('-V')))"
    ignoring = (
        "import signal, os, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    plain = [sys.executable, "-c", code]
    default = subprocess.run(python_command(*plain[1:]), capture_output=True, text=True, check=True, env=os.environ)
    ignored = subprocess.run([sys.executable, "-c", ignoring, *plain], capture_output=True, text=True, check=True)
    assert (default.stdout, ignored.stdout) == ("2\n", "5\n")
