"""Shared fixtures: the command line, a Prefect server on a free port, and a toy method that any process can import."""

from __future__ import annotations

import io
import json
import shutil
import sys
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest

from svdaudio.cli import main
from svdaudio.flows import server


@pytest.fixture
def cli(capsys):
    """Call the command line: exit code, standard output, standard error."""
    return called(capsys)


@pytest.fixture
def cli_and_children(capfd):
    """As `cli`, including the output of child processes."""
    return called(capfd)


def called(capture):
    """The command line as a function, its output captured by a fixture of pytest."""

    def call(*arguments):
        capture.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capture.readouterr()
        return SimpleNamespace(code=code, out=out, err=err, json=lambda: json.loads(out))

    return call


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A folder in which the toy's pair was run once, and its JSON output; must not be modified."""
    from toy_method import PAIR, install

    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        install(patch, folder)
        assert main(["run", *PAIR, "--json"]) == 0
    return folder, json.loads(printed.getvalue())


@pytest.fixture(scope="session")
def picture_store(tmp_path_factory):
    """A store with the plain sound of the example picture, with few and with audible steps; must not be modified."""
    from farm_scene import AUDIBLE_ARGUMENTS, FEW_STEPS_ARGUMENTS, PICTURES
    from quick_pictures import skip_rendering

    store = tmp_path_factory.mktemp("picture") / "store"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        skip_rendering(patch)
        for arguments in (FEW_STEPS_ARGUMENTS, AUDIBLE_ARGUMENTS):
            assert main(["baseline", str(PICTURES[0]), *arguments, "--store", str(store)]) == 0
    return store


@pytest.fixture
def mix(cli, tmp_path, monkeypatch, picture_store):
    """`svdaudio mix` on the example picture, whose plain sound is in the store; as JSON."""
    from farm_scene import PICTURES
    from quick_pictures import skip_rendering

    skip_rendering(monkeypatch)
    monkeypatch.setenv("SVDAUDIO_STORE", str(shutil.copytree(picture_store, tmp_path / "store")))

    def call(*arguments, command="mix"):
        result = cli(command, PICTURES[0], *arguments, "--json")
        assert result.code == 0, result.err
        return result.json()

    return call


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """The running server; its home is `prefect_server_home`."""
    home = tmp_path_factory.mktemp("server")
    yield server.start(home), home
    if (handlers := sys.modules.get("prefect.logging.handlers")) is not None:
        handlers.APILogWorker.drain_all(timeout=10)  # else flow logs wait minutes for a stopped server
    server.stop(home)


@pytest.fixture
def prefect_api(prefect_server, monkeypatch, tmp_path_factory):
    """The API's address, with Prefect's settings isolated from the user's."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path_factory.getbasetemp() / "prefect-client"))
    return prefect_server[0].api_url


@pytest.fixture(scope="module")
def toy_notes(tmp_path_factory):
    """The folder in which the toy's bodies note their calls, in this process and all that it starts."""
    from cluster_toy import NOTES, PLACE, Notes

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("notes")
        patch.setenv(NOTES, str(folder))
        patch.setenv("SVDAUDIO_METHODS", PLACE)
        yield Notes(folder)


@pytest.fixture
def notes(toy_notes):
    """The notes of the toy's bodies during a test."""
    toy_notes.clear()
    return toy_notes


@pytest.fixture
def world(notes, tmp_path):
    """The toy that any process can import, its files and its stores."""
    from cluster_toy import World

    return World(tmp_path)
