"""Opening a studio."""

from __future__ import annotations

from svdaudio.session import Session
from svdaudio.studio.access import access_for
from svdaudio.studio.serve import open_studio


def test_several_jobs_at_a_time_run_in_workers_and_one_in_the_studio_itself(tmp_path):
    for n_workers, names in ((1, []), (2, ["worker 1", "worker 2"])):
        studio = open_studio(Session(tmp_path / "store"), access_for("127.0.0.1", None), n_workers=n_workers)
        assert [worker.name for worker in studio.workers] == names
        studio.close()
