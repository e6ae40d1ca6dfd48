"""Batches: each run gives the result that it would give alone, whatever happens to the others."""

from __future__ import annotations

import functools
import multiprocessing
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import TOY_METHOD

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.config import resolve
from svdaudio.engine.batch import BatchWork, Tally, execute_batch, expected_seconds, no_progress, run_batch
from svdaudio.engine.batches import Job, Member, Prepared, open_batch
from svdaudio.engine.request import Request, new_run
from svdaudio.errors import CheckpointError, InputError, RunError
from svdaudio.methods.manipulate import METHOD
from svdaudio.store import LocalStore
from svdaudio.studies.scenes import demo_scene
from svdaudio.views.outputs import Outputs

ALPHAS = (0.1, 0.2, 0.3)
N_NODES = 8


def sounds(config):
    """The three scores, treated as a sound."""
    return {"manipulated": "manipulated.scores.scores"}


SOUNDING = replace(TOY_METHOD, sounds=sounds, result="manipulated")


def jobs_of(toy, *alphas):
    jobs = []
    for alpha in alphas:
        request = toy.request(svd__alpha=alpha)
        run = new_run(request)
        jobs.append(Job(member=Member(name=f"a{alpha}", run=run.id), request=request, run=run))
    return jobs


def executed(toy, jobs, progress=no_progress, **options):
    toy.calls.clear()
    return execute_batch(work_of(toy, jobs, **options), progress)


def work_of(toy, jobs, **options):
    return BatchWork(jobs=jobs, store=toy.store, **{"models": toy.models, "body": toy.body, **options})


def batch_of(toy, *alphas):
    found = []
    for alpha in alphas:
        request = toy.request(svd__alpha=alpha)
        found.append(Prepared(name=f"a{alpha}", request=request))
    return open_batch(toy.store, found, files={}, title="toy")


def failing_for(toy, alpha, error):
    """The toy's bodies, with mix failing for one pair."""

    def body(stage):
        whole = toy.body(stage)

        @functools.wraps(whole)
        def run(**arguments):
            if stage.name == "mix" and arguments["alpha"] == alpha:
                raise error
            return whole(**arguments)

        return run

    return body


def test_a_run_in_a_batch_equals_the_same_run_alone(toy, tmp_path):
    runs = executed(toy, jobs_of(toy, *ALPHAS))
    assert [run.state for run in runs] == ["finished"] * 3
    assert toy.calls == {"image": 2, "align": 2, "factors": 2, "mix": 3, "scores": 3}
    together = toy.store
    toy.store = LocalStore(tmp_path / "alone", durable=False)
    for alpha, run in zip(ALPHAS, runs, strict=True):
        alone = toy.run(toy.request(svd__alpha=alpha))
        assert [(e.node, e.key, e.outputs) for e in alone.stages] == [(e.node, e.key, e.outputs) for e in run.stages]
        assert together.runs.load(run.id) == run


def test_a_batch_runs_stage_by_stage_and_holds_the_models_of_one_stage(toy):
    held, seen = [], []

    class Source(dict):
        def keep_only(self, roles):
            held.append(tuple(roles))

    def body(stage):
        seen.append(stage.name)
        return toy.body(stage)

    execute_batch(work_of(toy, jobs_of(toy, *ALPHAS), models=Source(toy.models), body=body))
    assert seen[-6:] == ["mix"] * 3 + ["scores"] * 3
    assert held == [("tagger",)] * 3


def test_other_pairs_continue_when_one_fails(toy):
    error = InputError("the region is empty")
    runs = execute_batch(work_of(toy, jobs_of(toy, *ALPHAS), body=failing_for(toy, 0.2, error)))
    assert [run.state for run in runs] == ["finished", "failed", "finished"]
    assert runs[1].error == "the region is empty."
    assert runs[1].stage("manipulated.scores").status == "skipped"
    assert not any(toy.store.runs.is_active(run.id) for run in runs)


def test_on_error_stop_ends_a_batch_that_can_be_resumed(toy):
    jobs = jobs_of(toy, *ALPHAS)
    body = failing_for(toy, 0.2, InputError("the region is empty"))
    runs = execute_batch(work_of(toy, jobs, body=body, on_error="stop"))
    assert [run.state for run in runs] == ["interrupted", "failed", "interrupted"]
    assert [run.stage("mix").status for run in runs] == ["computed", "failed", "pending"]


@pytest.mark.parametrize("error", [CheckpointError("the mix is missing"), KeyboardInterrupt()])
def test_an_error_not_specific_to_one_pair_ends_the_batch(toy, error):
    jobs = jobs_of(toy, *ALPHAS)
    with pytest.raises(type(error)):
        execute_batch(work_of(toy, jobs, body=failing_for(toy, 0.2, error)))
    states = [toy.store.runs.load(job.run.id).state for job in jobs]
    failed = "failed" if isinstance(error, Exception) else "interrupted"
    assert states == ["interrupted", failed, "interrupted"]
    assert not any(toy.store.runs.is_active(job.run.id) for job in jobs)


def test_a_batch_resumes_where_it_stopped(toy):
    body = failing_for(toy, 0.2, InputError("the region is empty"))
    batch = batch_of(toy, *ALPHAS)
    with_files = partial(_with_results, toy)
    record, runs = run_batch(batch, toy.store, with_files(body), table_path=toy.folder / "t.csv")
    assert (record.state, record.results["counts"]) == ("failed", {"finished": 2, "failed": 1})
    assert (toy.folder / "t.csv").read_text().count("\n") == 4

    again = batch_of(toy, *ALPHAS)
    assert (again.record.id, again.n_done) == (record.id, 2)
    toy.calls.clear()
    record, runs = run_batch(again, toy.store, with_files(toy.body), table_path=None)
    assert (record.state, record.attempts, record.error) == ("finished", 2, None)
    assert toy.calls == {"mix": 1, "scores": 1}
    assert [run.attempts for run in runs] == [1, 2, 1]


def _with_results(toy, body):
    """Executes jobs, and stores results as the writer of files does."""

    class Entered:
        def write(self, job, work):
            return work.store.runs.write(replace(work.run, results={"scores": {}}))

    return lambda jobs: execute_batch(work_of(toy, jobs, body=body, output=Entered()))


def test_the_record_states_how_a_batch_was_interrupted(toy):
    batch = batch_of(toy, *ALPHAS)
    execute = _with_results(toy, failing_for(toy, 0.1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run_batch(batch, toy.store, execute, table_path=None)
    record = toy.store.runs.load(batch.record.id)
    assert (record.state, record.error) == ("interrupted", "KeyboardInterrupt")
    assert batch_of(toy, *ALPHAS).record.id == batch.record.id


def test_the_tally_counts_the_remaining_work(toy):
    jobs = jobs_of(toy, *ALPHAS)
    tally = Tally(jobs, {})
    assert (tally.n_total, tally.n_done, tally.left_s) == (3 * N_NODES, 0, None)
    body = failing_for(toy, 0.2, InputError("no"))
    execute_batch(work_of(toy, jobs, body=body), tally.count)
    assert (tally.n_done, tally.n_pairs_done, tally.n_failed, tally.left_s) == (3 * N_NODES, 3, 1, 0.0)
    expected = expected_seconds(toy.store)
    assert set(expected) == {"image", "align", "factors", "mix", "scores"}
    assert Tally(jobs, expected, n_workers=2).left_s == pytest.approx(Tally(jobs, expected).left_s / 2)


def picture_jobs(n_jobs=3):
    """Jobs that need no model: they decode the pictures of the example scene, and differ in their seed."""
    scene = demo_scene()
    pictures = {"original": scene.original, "edited": scene.edited}
    jobs = []
    for seed in range(n_jobs):
        resolved = resolve(METHOD.config, given={"seed": seed})
        request = Request(
            method=METHOD, files=pictures, resolved=resolved, bundle=Bundle.open("mini"),
            targets=("original.image", "edited.image"),
        )  # fmt: skip
        run = new_run(request)
        jobs.append(Job(member=Member(name=f"s{seed}", run=run.id), request=request, run=run))
    return jobs


def shared_work(jobs, folder):
    return BatchWork(jobs=jobs, store=LocalStore(folder), models=Models(Bundle.open("mini")))


def test_workers_give_the_same_results_and_compute_nothing_twice(tmp_path):
    from svdaudio.engine.workers import execute_shares

    jobs, updates = picture_jobs(), []
    runs = execute_shares(shared_work(jobs, tmp_path / "store"), updates.append, n_workers=2)
    assert [run.id for run in runs] == [job.run.id for job in jobs]
    assert [run.state for run in runs] == ["finished"] * 3
    statuses = Counter(entry.status for run in runs for entry in run.stages)
    assert statuses == {"computed": 2, "cached": 4}
    assert Counter(update.event.kind for update in updates)["finished"] == 6
    again = execute_batch(shared_work(picture_jobs(), tmp_path / "store"))
    assert {e.key for run in again for e in run.stages} == {e.key for run in runs for e in run.stages}
    assert {e.status for run in again for e in run.stages} == {"cached"}


@pytest.mark.timeout(120)
def test_workers_exit_when_the_reader_of_their_events_is_gone(tmp_path):
    from svdaudio.engine.workers import execute_shares

    def progress(update):
        raise BrokenPipeError("the reader of our output has left")

    jobs = picture_jobs(200)  # the final events of each worker exceed the capacity of a pipe
    with pytest.raises(BrokenPipeError, match="has left"):
        execute_shares(shared_work(jobs, tmp_path / "store"), progress, n_workers=2)
    store = LocalStore(tmp_path / "store")
    assert not multiprocessing.active_children()
    assert {store.runs.load(job.run.id).state for job in jobs} == {"interrupted"}


def test_a_killed_worker_ends_the_batch_and_the_record_reports_it(toy, tmp_path):
    from svdaudio.engine.workers import execute_shares

    def kill(update):
        for worker in multiprocessing.active_children():
            worker.kill()

    jobs = picture_jobs(60)
    batch = replace(batch_of(toy, 0.1), jobs=tuple(jobs))
    with pytest.raises(RunError, match="of the batch died: got killed by signal 9"):
        run_batch(
            batch, toy.store,
            lambda jobs: execute_shares(shared_work(jobs, toy.store.folder), kill, n_workers=2),
            table_path=None,
        )  # fmt: skip
    record = toy.store.runs.load(batch.record.id)
    assert record.state == "failed"
    assert "of the batch died: got killed by signal 9. Repeat the command" in record.error


def test_nodes_that_another_process_computes_come_last_and_are_awaited(toy):
    key = executed(toy, jobs_of(toy, 0.1))[0].stage("mix").key
    toy.store = LocalStore(toy.folder / "another", durable=False)
    updates = []

    with ExitStack() as elsewhere:
        elsewhere.enter_context(toy.store.lock(key))

        def progress(update):
            updates.append((update.pair, update.event.kind, update.event.node))
            if update.event.kind == "waiting":
                elsewhere.close()

        runs = executed(toy, jobs_of(toy, *ALPHAS), progress=progress)
    assert [run.state for run in runs] == ["finished"] * 3
    finished = [pair for pair, kind, node in updates if (kind, node) == ("finished", "mix")]
    assert finished == ["a0.2", "a0.3", "a0.1"]
    assert [update for update in updates if update[1] == "waiting"] == [("a0.1", "waiting", "mix")]


def test_an_unwritable_output_fails_only_its_own_pair(toy):
    jobs = jobs_of(toy, *ALPHAS)
    (toy.folder / "taken.wav").mkdir()
    jobs[1] = replace(jobs[1], member=replace(jobs[1].member, out=str(toy.folder / "taken.wav")))
    jobs = [replace(job, request=replace(job.request, method=SOUNDING)) for job in jobs]
    runs = executed(toy, jobs, output=Outputs(root=toy.folder / "out"))
    assert [run.state for run in runs] == ["finished", "failed", "finished"]
    assert "cannot write" in runs[1].error
    assert toy.store.runs.load(runs[1].id) == runs[1]


def test_a_killed_batch_resumes_and_computes_only_missing_artifacts(toy):
    here = Path(__file__)
    program = f"""
import importlib.util, os, signal, sys
from pathlib import Path
def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
toys, tests = load("conftest", {str(here.parents[1] / "conftest.py")!r}), load("tests_of_batch", {str(here)!r})
toy = toys.ToyWorld(Path({str(toy.folder)!r}))
def kill(update):
    if (update.event.kind, update.event.node, update.pair) == ("finished", "mix", "a0.2"):
        os.kill(os.getpid(), signal.SIGKILL)
batch = tests.batch_of(toy, *tests.ALPHAS)
tests.run_batch(batch, toy.store, lambda jobs: tests.execute_batch(tests.work_of(toy, jobs), kill), table_path=None)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr
    batch = batch_of(toy, *ALPHAS)
    assert batch.record.attempts == 1
    assert batch.record.state == "running"
    assert {job.run.state for job in batch.jobs} == {"running"}
    record, runs = run_batch(batch, toy.store, _with_results(toy, toy.body), table_path=None)
    assert (record.state, record.id) == ("finished", batch.record.id)
    assert toy.calls == {"mix": 1, "scores": 3}
    assert [run.state for run in runs] == ["finished"] * 3
