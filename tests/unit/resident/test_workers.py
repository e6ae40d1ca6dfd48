"""Worker processes of a program; the studio's tests cover what they compute."""

from __future__ import annotations

import pytest

from svdaudio.errors import RunError
from svdaudio.processes import start_time
from svdaudio.resident import workers
from svdaudio.resident.workers import Worker, threads_of_each


@pytest.mark.parametrize(
    ("given", "n_workers", "each"), [("8", 2, 4), ("7", 2, 3), ("1", 3, 1), ("", 2, 3), ("x", 6, 1)]
)
def test_threads_are_divided(monkeypatch, given, n_workers, each):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(workers, "_n_cores", lambda: 6)
    assert threads_of_each(n_workers) == each


def test_a_closed_worker_ends_and_is_not_restarted():
    worker = Worker(1, n_threads=1, warm=False)
    resident = worker.start()
    assert worker.start() is resident, "it is running already"
    assert worker.pid == resident.pid
    worker.close()
    assert start_time(resident.pid) != resident.began
    with pytest.raises(RunError, match="worker 1 was closed"):
        worker.start()


def test_a_worker_that_never_started_can_be_closed():
    Worker(1, n_threads=1).close()
