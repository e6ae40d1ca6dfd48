"""The same flow on a real Dask cluster of two worker processes: the store is all that they share."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time

import pytest
from cluster_toy import NotedBodies

from flows.clusters import Cluster, is_worker_death
from svdaudio.checkpoints.bundle import OWN_FORMAT, Bundle, Entry, Models, Part
from svdaudio.cli.app import invoke
from svdaudio.engine.request import new_run
from svdaudio.errors import CheckpointError, InputError, RunError, StoreError
from svdaudio.store import LocalStore, open_store

pytestmark = [
    pytest.mark.filterwarnings("default"),  # Prefect, Dask and what they stand on have warnings of their own
]


@pytest.fixture(scope="module")
def dask_cluster():
    """Two worker processes; each is started anew when it dies, as on a real cluster."""
    distributed = pytest.importorskip("distributed")
    # Spawned processes get `sys.path` from this one, so that they find the modules of the tests.
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster


@pytest.fixture
def bodies(tmp_path):
    (tmp_path / "notes").mkdir()
    return NotedBodies(folder=tmp_path / "notes")


def execute(toy, bodies, prefect_api, cluster, request=None):
    from flows.prefect_runner import execute_run

    request = request or toy.request()
    return execute_run(
        request, toy.store, toy.models, run=new_run(request), body=bodies, api_url=prefect_api,
        cluster=Cluster(kind="dask", address=cluster.scheduler_address),
    )  # fmt: skip


def kill_victims(bodies, n_victims):
    """Kill each process that waits for it, as soon as it does."""

    def watch():
        killed = set()
        deadline = time.monotonic() + 240
        while len(killed) < n_victims and time.monotonic() < deadline:
            for pid in set(bodies.victims()) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def set_environment(values):
    os.environ.update(values)


def expected_artifacts(toy, tmp_path):
    toy.store, remembered = LocalStore(tmp_path / "expected", durable=False), toy.store
    toy.run()
    outputs = {key: toy.store.find(key).outputs for key in list(toy.store.keys())}
    toy.store = remembered
    return outputs


def test_the_workers_compute_and_the_artifacts_are_the_same(toy, bodies, prefect_api, dask_cluster, s3, tmp_path):
    """In a bucket, so that nothing but the store can be shared."""
    expected = expected_artifacts(toy, tmp_path)
    toy.store = open_store(s3.location(tmp_path.name))
    # Workers have the environment that they were started with; what leads to the bucket is told to them.
    with dask_cluster.get_client() as client:
        client.run(set_environment, s3.environment())
    run = execute(toy, bodies, prefect_api, dask_cluster)
    assert run.state == "finished"
    assert {key: toy.store.find(key).outputs for key in list(toy.store.keys())} == expected
    assert bodies.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 1, "scores": 1}
    images = {int(path.name.split(".")[1]) for path in bodies.folder.glob("image.*")}
    assert images == {os.getpid()}, "the user's files were read elsewhere"
    assert bodies.processes() - {os.getpid()}, "no worker computed anything"
    again = execute(toy, bodies, prefect_api, dask_cluster)
    assert {entry.status for entry in again.stages} == {"cached"}
    assert sum(bodies.calls().values()) == 8


def test_a_worker_that_dies_costs_only_its_stage(toy, bodies, prefect_api, dask_cluster, tmp_path):
    expected = expected_artifacts(toy, tmp_path)
    deadly = NotedBodies(folder=bodies.folder, deadly="mix", n_deaths=1)
    killer = kill_victims(deadly, 1)
    run = execute(toy, deadly, prefect_api, dask_cluster)
    killer.join()
    assert len(deadly.victims()) == 1
    assert run.state == "finished"
    assert deadly.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 2, "scores": 1}
    assert {key: toy.store.find(key).outputs for key in list(toy.store.keys())} == expected
    assert not [left for left in toy.store.leftovers() if left.kind != "lock"]


def test_an_error_of_a_stage_is_the_error_of_the_run(toy, bodies, prefect_api, dask_cluster):
    with pytest.raises(RunError, match="there is no Dask cluster at"):
        Cluster(kind="dask", address="tcp://127.0.0.1:9").task_runner()
    toy.files["original"].write_text("one two")
    with pytest.raises(ValueError, match="could not convert"):
        execute(toy, bodies, prefect_api, dask_cluster)
    assert toy.store.runs.load("latest").state == "failed"
    toy.files["original"].write_text("1 2 6 8")
    assert execute(toy, bodies, prefect_api, dask_cluster).state == "finished"


def test_deaths_without_end_are_told():
    class KilledWorker(Exception):  # noqa: N818
        """As Dask's, by its name."""

    from flows.prefect_runner import _worker_death

    assert is_worker_death(KilledWorker())
    assert not is_worker_death(InputError("no"))
    assert "the workers that were to compute mix died" in str(_worker_death("mix", KilledWorker()))


class TestModels:
    def entry(self, path):
        part = Part(path=path, sha256="0" * 64, n_bytes=1)
        return Entry(
            role="tagger", format=OWN_FORMAT, path=path, sha256="0" * 64, n_bytes=1, published=None, parts=(part,),
            classes=(),
        )  # fmt: skip

    def test_another_process_opens_its_own_and_keeps_them(self, tmp_path):
        bundle = Bundle(name="none", title="", settings={}, entries={"tagger": self.entry(tmp_path / "tagger")})
        models = Models(bundle, device="cpu", keep=True)
        models._resident["tagger"] = "loaded here"
        one, other = (pickle.loads(pickle.dumps(models)) for _ in range(2))
        assert one is other
        assert not one._resident
        assert one.bundle == bundle

    def test_the_files_are_those_of_the_worker_and_the_digests_those_of_the_flow(self, tmp_path):
        mini = Bundle.open("mini")
        name = mini.entry("tagger").path.name
        elsewhere = Bundle(name="mini", title="", settings={}, entries={"tagger": self.entry(tmp_path / "x" / name)})
        here = elsewhere.here()
        assert here.entry("tagger").path == mini.entry("tagger").path
        with pytest.raises(CheckpointError, match="is not the one"):
            here.check("tagger")
        assert mini.here() == mini


@pytest.mark.parametrize("error", [InputError("the click", expected=1, got=2, fix="do it"), StoreError("full")])
def test_errors_come_out_of_another_process_as_they_went_in(error):
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
    def test_contradictions_are_refused(self, arguments, message, capsys):
        assert invoke(["demo", *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_without_the_extra_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)
        with pytest.raises(RunError, match=r"needs prefect-dask: .* Run `uv sync --extra dask`"):
            Cluster(kind="dask").task_runner()


def test_ray_if_it_is_installed(toy, bodies, prefect_api, tmp_path, monkeypatch):
    """The same on Ray, which is not part of the test environment for its size."""
    pytest.importorskip("prefect_ray", reason="the extra ray is not installed")
    from flows.prefect_runner import execute_run

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    expected = expected_artifacts(toy, tmp_path)
    request = toy.request()
    run = execute_run(
        request, toy.store, toy.models, run=new_run(request), body=bodies, api_url=prefect_api,
        cluster=Cluster(kind="ray"),
    )  # fmt: skip
    assert run.state == "finished"
    assert {key: toy.store.find(key).outputs for key in list(toy.store.keys())} == expected
    assert bodies.processes() - {os.getpid()}, "no worker computed anything"
