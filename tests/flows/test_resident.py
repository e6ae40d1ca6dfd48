"""The resident process: same results as without it; nothing is lost if it dies or its command is interrupted."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from cluster_toy import victims

from svdaudio.errors import InputError
from svdaudio.processes import start_time
from svdaudio.resident import control
from svdaudio.resident.place import find, identity
from svdaudio.resident.runner import ResidentRunner


@pytest.fixture(scope="module")
def resident(toy_notes, tmp_path_factory):
    """A resident process that can import the toy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        folder = tmp_path_factory.mktemp("resident")
        yield control.start(folder, warm=False)
        stopped = control.stop(folder)
        if stopped is not None:
            assert start_time(stopped.pid) != stopped.began
            assert not Path(stopped.address).exists()


def bytes_of(result):
    return {name: path.read_bytes() for name, path in result.audio.items()}


def test_results_equal_those_of_the_command_alone(world, notes, resident):
    alone = world.session("alone")
    expected = alone.run(world.request(alone))
    notes.clear()
    session = world.session(runner=ResidentRunner(resident))
    events = []
    result = session.run(world.request(session), progress=lambda event: events.append((event.kind, event.node)))
    assert notes.processes() == {resident.pid}
    assert result.run.runner == "resident"
    assert bytes_of(result) == bytes_of(expected)
    assert result.scores == expected.scores
    assert {e.node: e.key for e in result.run.stages} == {e.node: e.key for e in expected.run.stages}
    assert ("note", "original.align") in events
    assert events.count(("finished", "mix")) == 1
    again = session.run(world.request(session)).run
    assert {entry.status for entry in again.stages} == {"cached"}


def test_the_error_of_a_stage_is_raised_in_the_command(world, notes, resident):
    notes.fail("mix", "the mix is empty")
    session = world.session(runner=ResidentRunner(resident))
    with pytest.raises(InputError, match="the mix is empty") as caught:
        session.run(world.request(session))
    assert caught.value.node == "mix"
    assert session.load("latest").state == "failed"
    notes.clear()
    assert session.resume("latest").run.state == "finished"


def test_an_interrupted_command_ends_its_run_between_two_stages(world, notes, resident):
    notes.delay("align", 0.5)
    session = world.session(runner=ResidentRunner(resident))

    def stopping():
        return notes.calls()["align"] > 0

    run = session.run(world.request(session), stopping=stopping).run
    assert run.state == "interrupted"
    assert notes.calls()["scores"] == 0
    assert session.resume(run).run.state == "finished"
    assert notes.calls()["image"] == 2, "completed stages are kept"


def test_if_it_dies_the_command_continues_alone(world, notes, resident, tmp_path_factory, caplog):
    notes.kill("factors", 1)
    folder = tmp_path_factory.mktemp("doomed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        doomed = control.start(folder, warm=False)

    def kill():
        while not victims(notes.folder):
            time.sleep(0.02)
        os.kill(doomed.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    session = world.session(runner=ResidentRunner(doomed))
    result = session.run(world.request(session))
    killer.join()
    assert result.run.state == "finished"
    assert notes.processes("scores") == {os.getpid()}
    assert notes.calls()["image"] == 2, "its completed stages are reused"
    assert "the resident process died: the run continues without it" in caplog.text
    assert find(folder) is None


def test_two_commands_are_served_one_after_another(world, notes, resident, caplog):
    notes.delay("image", 0.4)
    results = {}

    def run(store):
        session = world.session(store, ResidentRunner(resident))
        results[store] = session.run(world.request(session))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert {result.run.state for result in results.values()} == {"finished"}
    assert "the resident process is busy: requests ahead of this one: 1" in caplog.text


def test_another_environment_is_detected(resident, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    assert resident.identity == identity()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert resident.identity != identity()


def test_commands_start_use_and_stop_it(cli, monkeypatch, tmp_path):
    from svdaudio.cli import options

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert cli("resident", "status", "--json").json() == {"running": False}
    assert options.open_runner(None) is None
    started = cli("resident", "start", "--idle", "2", "--json").json()
    try:
        assert cli("resident", "status", "--json").json() == {**started, "serves": True}
        assert isinstance(options.open_runner(None), ResidentRunner)
        assert options.open_runner("in-process") is None
        monkeypatch.setenv("SVDAUDIO_RESIDENT", "off")
        assert options.open_runner(None) is None
        monkeypatch.setenv("SVDAUDIO_RESIDENT", "")
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        assert options.open_runner(None) is None
        refused = cli("resident", "status")
        assert "another version or environment" in refused.out
    finally:
        assert cli("resident", "stop", "--json").json()["stopped"] == started["pid"]
    assert cli("resident", "stop").out == "no resident process was running\n"


def test_it_exits_when_idle(tmp_path):
    resident = control.start(tmp_path, idle_s=0.05, warm=False)
    while start_time(resident.pid) == resident.began:
        time.sleep(0.05)
    assert find(tmp_path) is None
