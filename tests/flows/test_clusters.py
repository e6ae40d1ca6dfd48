"""The same flow on a real Dask cluster of two worker processes, which share only the store."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time

import pytest
from cluster_toy import victims

from svdaudio.checkpoints.bundle import Bundle, Entry, Part
from svdaudio.checkpoints.models import Models
from svdaudio.checkpoints.roles import OWN_FORMAT
from svdaudio.cli.app import invoke
from svdaudio.errors import CheckpointError, InputError, RunError, StoreError
from svdaudio.flows.clusters import Cluster, worker_death

pytestmark = [
    pytest.mark.filterwarnings("default"),  # Prefect, Dask and their dependencies emit warnings
]


@pytest.fixture(scope="module")
def dask_cluster(toy_notes):
    """Two worker processes; each is restarted when it dies, as on a real cluster."""
    distributed = pytest.importorskip("distributed")
    # Spawned processes inherit `sys.path` and the environment, so that they find the toy and its notes.
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster


@pytest.fixture
def runner(prefect_api, dask_cluster):
    from svdaudio.flows.run import PrefectRunner

    return PrefectRunner(name="dask", address=dask_cluster.scheduler_address, api_url=prefect_api)


def kill_victims(notes, n_victims):
    """Kill each process as soon as it waits to be killed."""

    def watch():
        killed = set()
        deadline = time.monotonic() + 240
        while len(killed) < n_victims and time.monotonic() < deadline:
            for pid in set(victims(notes.folder)) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def set_environment(values):
    os.environ.update(values)


def outputs(session):
    return {key: session.store.find(key).outputs for key in list(session.store.keys())}


@pytest.fixture
def expected(world, notes):
    """Key → outputs of the artifacts of a run in process."""
    session = world.session("expected")
    session.run(world.request(session))
    notes.clear()
    return outputs(session)


def test_the_workers_compute_and_the_artifacts_are_the_same(
    world, notes, expected, runner, dask_cluster, s3, monkeypatch, tmp_path
):
    """In a bucket, so that nothing but the store can be shared."""
    monkeypatch.setattr("svdaudio.places.default_store", lambda: tmp_path)  # sounds of a bucket are written here
    session = world.session(s3.location(tmp_path.name), runner)
    # Workers keep the environment that they were started with; the settings of the bucket are set later.
    with dask_cluster.get_client() as client:
        client.run(set_environment, s3.environment())
    run = session.run(world.request(session)).run
    assert (run.state, run.runner) == ("finished", "dask")
    assert outputs(session) == expected
    assert notes.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 1, "scores": 1}
    assert notes.processes("image") == {os.getpid()}, "another process read the user's files"
    assert notes.processes() - {os.getpid()}, "no worker computed anything"
    again = session.run(world.request(session)).run
    assert {entry.status for entry in again.stages} == {"cached"}
    assert sum(notes.calls().values()) == 8


def test_if_a_worker_dies_only_its_stage_is_repeated(world, notes, expected, runner):
    session = world.session(runner=runner)
    notes.kill("mix", 1)
    killer = kill_victims(notes, 1)
    run = session.run(world.request(session)).run
    killer.join()
    assert len(victims(notes.folder)) == 1
    assert run.state == "finished"
    assert notes.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 2, "scores": 1}
    assert outputs(session) == expected
    assert not [left for left in session.store.leftovers() if left.kind != "lock"]


def test_an_error_of_a_stage_is_the_error_of_the_run(world, notes, runner):
    with pytest.raises(RunError, match="no Dask cluster answers at"):
        Cluster(kind="dask", address="tcp://127.0.0.1:9").task_runner()
    session = world.session(runner=runner)
    notes.fail("mix", "the region is empty")
    with pytest.raises(InputError, match="the region is empty"):
        session.run(world.request(session))
    assert session.load("latest").state == "failed"
    notes.clear()
    assert session.run(world.request(session)).run.state == "finished"
    world.files["original"].write_text("one two")
    with pytest.raises(ValueError, match="could not convert"):
        session.run(world.request(session))


def test_repeated_worker_deaths_are_a_one_line_error():
    class KilledWorker(Exception):  # noqa: N818
        """Has the name of Dask's exception."""

    assert worker_death("mix", InputError("no")) is None
    assert "every worker that computed mix died" in str(worker_death("mix", KilledWorker()))


class TestModels:
    def entry(self, path, bundle="none"):
        part = Part(path=path, sha256="0" * 64, n_bytes=1)
        return Entry(
            role="tagger", bundle=bundle, format=OWN_FORMAT, path=path, sha256="0" * 64, n_bytes=1, published=None,
            parts=(part,), classes=(),
        )  # fmt: skip

    def test_another_process_opens_its_own_models_and_keeps_them(self, tmp_path):
        bundle = Bundle(name="none", title="", settings={}, entries={"tagger": self.entry(tmp_path / "tagger")})
        models = Models(bundle, device="cpu", keep=True)
        models._resident["tagger"] = "loaded here"
        one, other = (pickle.loads(pickle.dumps(models)) for _ in range(2))
        assert one is other
        assert not one._resident
        assert one.bundle == bundle

    def test_the_worker_reads_its_own_files_and_checks_the_digests_of_the_flow(self, tmp_path):
        mini = Bundle.open("mini")
        name = mini.entry("tagger").path.name
        elsewhere = Bundle(
            name="mini", title="", settings={}, entries={"tagger": self.entry(tmp_path / "x" / name, "mini")}
        )
        here = elsewhere.here()
        assert here.entry("tagger").path == mini.entry("tagger").path
        with pytest.raises(CheckpointError, match="does not match the description"):
            here.check("tagger")
        assert mini.here() == mini


@pytest.mark.parametrize("error", [InputError("the click", expected=1, got=2, fix="do it"), StoreError("full")])
def test_errors_pass_between_processes_unchanged(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == again.line() == error.line()


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--prefect", "--runner", "in-process"], "contradict"),
            (["--cluster", "tcp://127.0.0.1:1"], "--cluster needs a runner"),
            (["--runner", "spark"], "spark"),
        ],
    )
    def test_contradictory_options_are_refused(self, arguments, message, capsys):
        assert invoke(["demo", *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_without_the_extra_the_error_names_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)
        with pytest.raises(RunError, match=r"needs prefect-dask: .* Run `uv sync --extra dask`"):
            Cluster(kind="dask").task_runner()


def test_ray_if_it_is_installed(world, notes, expected, prefect_api, monkeypatch):
    """The same on Ray, which is too large for the test environment."""
    pytest.importorskip("prefect_ray", reason="the extra ray is not installed")
    from svdaudio.flows.run import PrefectRunner

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    session = world.session(runner=PrefectRunner(name="ray", api_url=prefect_api))
    assert session.run(world.request(session)).run.state == "finished"
    assert outputs(session) == expected
    assert notes.processes() - {os.getpid()}, "no worker computed anything"
