"""The files of a run in its record, and copies of its main sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svdaudio.engine.batches import Job, Member
from svdaudio.errors import InputError
from svdaudio.views.outputs import Outputs, arrays_of, check_result, copy_result
from svdaudio.views.report import write_report


def sounds(config):
    del config
    return {"mixed": "mix.embedding"}


@pytest.fixture
def sounding(toy):
    """The toy method, with its mix declared as a sound."""
    toy.method = replace(toy.method, sounds=sounds, result="mixed")
    return toy


def job_of(toy, out=None):
    request = toy.request()
    run = toy.run(request)
    return Job(
        member=Member(name="a pair", run=run.id, out=None if out is None else str(out)), request=request, run=run
    )


def written(toy, job):
    output = Outputs(root=toy.folder / "out")
    return output.write(job, toy.work(job.request, run=job.run))


def test_output_files_are_recorded_in_the_run(sounding, tmp_path):
    job = job_of(sounding, tmp_path / "copy.wav")
    run = written(sounding, job)
    assert run == sounding.store.runs.load(job.run.id)
    assert (run.state, run.results["pair"]) == ("finished", "a pair")
    data = (tmp_path / "copy.wav").read_bytes()
    assert Path(run.results["audio"]["mixed"]).read_bytes() == data
    assert data.startswith(b"RIFF")


def test_a_pair_with_an_unwritable_output_has_failed(sounding, tmp_path):
    (tmp_path / "in the way").write_text("")
    run = written(sounding, job_of(sounding, tmp_path / "in the way" / "copy.wav"))
    assert run.state == "failed"
    assert "in the way" in run.error
    assert sounding.store.runs.load(run.id) == run


def test_an_output_without_a_sound_is_refused_beforehand(sounding, toy):
    check_result(sounding.request())
    with pytest.raises(InputError, match="toy makes no sound to copy: got original"):
        check_result(replace(sounding.request(), targets=("original.factors",)))
    for method in (replace(sounding.method, result=""), replace(sounding.method, result="other")):
        with pytest.raises(InputError, match="toy makes no sound to copy"):
            check_result(replace(sounding.request(), method=method))


def test_the_report_names_the_copy(sounding, tmp_path):
    run = sounding.run()
    arrays = arrays_of(sounding.work(run=run))
    report = write_report(arrays, root=tmp_path / "out")
    copied = copy_result(report, run, sounding.method, tmp_path / "copy.wav")
    assert copied.audio == {"mixed": tmp_path / "copy.wav"}
    assert (tmp_path / "copy.wav").read_bytes() == report.audio["mixed"].read_bytes()
    with pytest.raises(InputError, match=rf"run {run.id} has no sound 'other' for --out: got mixed"):
        copy_result(replace(report, result="other"), run, sounding.method, tmp_path / "other.wav")


def test_lost_artifacts_are_recomputed_on_access(sounding):
    request = sounding.request()
    run = sounding.run(request)
    sounding.store.quarantine(run.stage("mix").key, "on purpose")
    sounding.calls.clear()
    arrays = arrays_of(sounding.work(request, run=run))
    assert sounding.calls == {}
    assert arrays["mix"]["embedding"].dtype == np.float32
    assert sounding.calls == {"mix": 1}
