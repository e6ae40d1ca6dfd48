"""The in-process runner on the toy workflow: which stages run, and what the records contain."""

from __future__ import annotations

import functools
import json
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TOY_NODES, TOY_STAGES

from svdaudio.engine.plan import plan, reasons_to_reuse
from svdaudio.engine.reasons import Unchanged
from svdaudio.engine.request import new_run, resumed_request
from svdaudio.engine.run import read_outputs
from svdaudio.engine.stage import Node
from svdaudio.errors import InputError, RunError, StoreError
from svdaudio.store import LocalStore
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.sealed import seal

N_NODES = 8


def statuses(run):
    return {entry.node: entry.status for entry in run.stages}


def damage_chunk(store, key, array):
    """Flip one bit in the stored chunk of an array."""
    chunk = next(p for p in (store.path(key) / "arrays.zarr" / array / "c").rglob("*") if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))


def test_first_run_computes_everything_and_the_second_nothing(toy):
    first = toy.run()
    assert first.state == "finished"
    assert set(statuses(first).values()) == {"computed"}
    assert sum(toy.calls.values()) == N_NODES
    assert {entry.reason for entry in first.stages} == {"never computed"}
    second = toy.run()
    assert set(statuses(second).values()) == {"cached"}
    assert not toy.calls
    assert [e.key for e in first.stages] == [e.key for e in second.stages]
    assert toy.store.runs.load("latest") == second
    assert len(toy.store.runs.ids()) == 2


def test_notes_outputs_and_inputs_are_recorded(toy):
    run = toy.run()
    entry = run.stage("original.align")
    assert entry.notes == ("2 inside",)
    record = toy.store.find(entry.key)
    assert record.notes == ("2 inside",)
    assert record.sources == {"pixels": "original.image.pixels"}
    assert record.action.inputs["pixels"] == run.stage("original.image").outputs["pixels"]
    assert record.outputs["grid"].dtype == "|b1"
    assert record.outputs["n_inside"].shape == ()
    np.testing.assert_array_equal(read_outputs(toy.work(run=run), "original.align")["grid"], [0, 0, 1, 1])


def test_thread_counts_apply_to_their_run_and_are_noted_for_reused_artifacts(toy):
    before = torch.get_num_threads()
    used = []

    def body(stage):
        whole = toy.body(stage)

        @functools.wraps(whole)
        def run(**arguments):
            used.append(torch.get_num_threads())
            return whole(**arguments)

        return run

    def reasons(**changes):
        return {each.name: each.reason for each in plan(toy.request(**changes), toy.store)}

    request = toy.request(execution__threads=3)
    run = toy.run(request, body=body)
    assert used == [before] * 7 + [3]  # only the scores use a model
    assert torch.get_num_threads() == before
    toy.failing["scores"] = RuntimeError("no")
    toy.with_model(3.0)
    with pytest.raises(RuntimeError):
        toy.run(toy.request(execution__threads=3))
    assert torch.get_num_threads() == before
    toy.with_model(2.0)
    record = toy.store.find(run.stage("manipulated.scores").key)
    assert record.execution == {"threads": 3, "n_threads": 3}
    assert toy.store.find(run.stage("mix").key).execution == {}
    assert set(reasons(execution__threads=3).values()) == {"unchanged"}
    other = reasons(execution__threads=2)
    assert other["manipulated.scores"] == "unchanged; computed on 3 threads, not 2: the last bits may differ"
    assert other["mix"] == "unchanged"
    cores = len(os.sched_getaffinity(0))
    if cores != 3:
        assert f"computed on 3 threads, not {cores}" in reasons()["manipulated.scores"]
    again = toy.run(toy.request(execution__threads=2))
    assert again.stage("manipulated.scores").status == "cached"
    assert "computed on 3 threads, not 2" in again.stage("manipulated.scores").reason


def test_records_of_earlier_versions_have_no_thread_count(toy):
    record = toy.store.find(toy.run().stage("manipulated.scores").key)
    fields = json.loads(record.to_json())
    del fields["execution"], fields["check"], fields["format"]
    earlier = ArtifactRecord.from_json(seal(fields))
    assert earlier.execution == {}
    assert reasons_to_reuse(toy.request(execution__threads=3), earlier) == (Unchanged(),)


def test_numbers_that_are_not_finite_are_not_stored(toy):
    def body(stage):
        whole = toy.body(stage)

        @functools.wraps(whole)
        def run(**arguments):
            found = whole(**arguments)
            return {name: array * np.float32("nan") for name, array in found.items()} if stage.name == "mix" else found

        return run

    request = toy.request()
    with pytest.raises(RunError, match="mix computed NaN or infinite numbers, which are not stored: got"):
        toy.run(request, body=body)
    failed = toy.store.runs.load("latest")
    assert (failed.stage("mix").status, failed.stage("manipulated.scores").status) == ("failed", "skipped")
    assert toy.run().state == "finished"


def test_only_the_models_of_the_present_stage_are_held(toy):
    held = []

    class Source(dict):
        def keep_only(self, roles):
            held.append(tuple(roles))

    request = toy.request()
    toy.run(request, models=Source(toy.models))
    assert held == [("tagger",)]


def test_a_changed_parameter_runs_only_downstream_stages(toy):
    toy.run()
    run = toy.run(toy.request(svd__alpha=0.2))
    assert toy.calls == {"mix": 1, "scores": 1}
    assert run.stage("mix").reason == "svd.alpha changed 0.3 → 0.2"
    assert run.stage("manipulated.scores").reason == "input embedding changed (mix)"


def test_early_cutoff_when_a_threshold_gives_the_same_grid(toy):
    toy.run()
    run = toy.run(toy.request(align__threshold=0.55))
    assert toy.calls == {"align": 2}
    assert statuses(run)["mix"] == "cached"


def test_a_changed_model_or_seed_runs_only_the_stage_that_uses_it(toy):
    toy.run()
    run = toy.run(toy.request(seed=7))
    assert (toy.calls, run.stage("manipulated.scores").reason) == ({"scores": 1}, "seed changed 42 → 7")
    toy.with_model(3.0)
    run = toy.run(toy.request(seed=7))
    assert (toy.calls, run.stage("manipulated.scores").reason) == ({"scores": 1}, "model tagger changed")


def test_a_file_is_identified_by_its_content(toy):
    toy.run()
    toy.files["original"] = toy.files["original"].rename(toy.folder / "renamed.txt")
    toy.run()
    assert not toy.calls
    toy.files["original"].write_text("1 2 6 8 ")  # other bytes, the same numbers
    run = toy.run()
    assert toy.calls == {"image": 1}
    assert run.stage("original.image").reason == "file 'original' changed"


def test_the_same_bytes_in_any_order_of_caching(toy, tmp_path):
    want = toy.run(toy.request(svd__k=9)).stage("manipulated.scores").outputs
    toy.store = LocalStore(tmp_path / "another")
    toy.run()
    toy.run(toy.request(svd__alpha=0.9))
    assert toy.run(toy.request(svd__k=9)).stage("manipulated.scores").outputs == want


def test_a_failed_stage_is_recorded_and_resume_continues(toy):
    toy.failing["mix"] = InputError("the region is empty", fix="click on the object")
    request = toy.request()
    run = new_run(request)
    events = []
    with pytest.raises(InputError, match="the region is empty"):
        toy.run(request, run=run, progress=events.append)
    failed = toy.store.runs.load(run.id)
    assert failed.state == "failed"
    assert failed.error == "the region is empty. Click on the object."
    assert failed.traceback is None
    assert failed.stage("mix").status == "failed"
    assert failed.stage("mix").reason == failed.error
    assert failed.stage("manipulated.scores").status == "skipped"
    assert [event.kind for event in events[-2:]] == ["failed", "skipped"]
    assert events[-1].n_done == events[-1].n_total == N_NODES

    toy.failing.clear()
    again = toy.run(resumed_request(failed, toy.method, toy.bundle), run=failed)
    assert (again.id, again.state, again.attempts, again.error) == (run.id, "finished", 2, None)
    assert toy.calls == {"mix": 1, "scores": 1}


def test_an_unexpected_error_leaves_its_traceback(toy):
    toy.failing["mix"] = ZeroDivisionError("oh")
    with pytest.raises(ZeroDivisionError):
        toy.run()
    run = toy.store.runs.load("latest")
    assert run.error == "ZeroDivisionError: oh"
    assert "ZeroDivisionError" in run.traceback


def test_an_interrupted_run_is_recorded_as_interrupted(toy):
    def interrupt(event):
        if event.node == "mix":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy.run(progress=interrupt)
    assert toy.store.runs.load("latest").state == "interrupted"
    assert not toy.store.runs.is_active(toy.store.runs.ids()[0])


def test_resume_refuses_a_changed_or_missing_file(toy):
    run = toy.run()
    toy.files["edited"].write_text("5 5 5 5")
    with pytest.raises(RunError, match="'edited' has changed"):
        resumed_request(run, toy.method, toy.bundle)
    toy.files["edited"].unlink()
    with pytest.raises(RunError, match="'edited' cannot be read"):
        resumed_request(run, toy.method, toy.bundle)


def test_only_one_process_executes_a_run(toy):
    run = new_run(toy.request())
    with toy.store.runs.hold(run.id):
        assert toy.store.runs.is_active(run.id)
        with pytest.raises(RunError, match="still active"):
            toy.run(run=run)
    assert not toy.store.runs.is_active(run.id)


def test_a_damaged_input_is_quarantined_and_recomputed(toy, caplog):
    first = toy.run()
    damage_chunk(toy.store, first.stage("original.factors").key, "region")
    with caplog.at_level(logging.WARNING):
        run = toy.run(toy.request(svd__alpha=0.2))
    assert toy.calls == {"factors": 1, "mix": 1, "scores": 1}
    assert run.stage("original.factors").status == "computed"
    assert run.stage("original.factors").reason == "the artifact was damaged and is in quarantine"
    assert run.stage("original.factors").outputs == first.stage("original.factors").outputs
    assert "quarantine" in caplog.text
    assert len(list((toy.store.folder / "quarantine").iterdir())) == 1


def test_damage_to_all_upstream_artifacts_is_repaired(toy):
    first = toy.run()
    for node, array in (("original.image", "pixels"), ("original.factors", "region"), ("edited.factors", "region")):
        damage_chunk(toy.store, first.stage(node).key, array)
    run = toy.run(toy.request(svd__k=6))
    assert toy.calls == {"image": 1, "factors": 2, "mix": 1, "scores": 1}
    assert run.state == "finished"


def test_missing_outputs_are_recomputed_on_reading(toy):
    run = toy.run()
    damage_chunk(toy.store, run.stage("manipulated.scores").key, "scores")
    toy.calls.clear()
    scores = read_outputs(toy.work(run=run), "manipulated.scores")["scores"]
    assert toy.calls == {"scores": 1}
    assert scores.shape == (3,)
    with pytest.raises(RunError, match="has no outputs of 'nowhere'"):
        read_outputs(toy.work(run=run), "nowhere")


def test_a_file_that_changes_while_it_is_read_is_not_stored(toy):
    def body(stage):
        whole = toy.body(stage)

        @functools.wraps(whole)
        def run(**arguments):
            outputs = whole(**arguments)
            if stage.name == "image":
                arguments["file"].write_text("4 4 4 4")
            return outputs

        return run

    request = toy.request()
    with pytest.raises(InputError, match="changed while it was read"):
        toy.run(request, body=body)
    assert not list(toy.store.keys())


def test_a_body_that_contradicts_the_stage_table_is_a_fault(toy):
    request = toy.request()
    with pytest.raises(RuntimeError, match=r"returned \['wrong'\]"):
        toy.run(request, body=lambda stage: lambda **_: {"wrong": np.zeros(1)})


def test_a_body_cannot_change_the_key_by_its_parameters(toy):
    points = [[1, 2, 1]]
    stage = replace(TOY_STAGES["align"], parameters={"points": "remove"})
    node = Node(name="align", stage=stage, inputs={"pixels": "original.image.pixels"})
    toy.method = replace(toy.method, nodes=lambda config: {**TOY_NODES, "align": node}, targets=("align",))

    def body(stage):
        def run(*, pixels, points):
            points[0][0] = "spoilt"
            return {"grid": pixels > 2, "n_inside": np.array(1)}

        return run if stage.name == "align" else toy.body(stage)

    request = toy.request(remove=points)
    run = toy.run(request, body=body)
    assert toy.store.find(run.stage("align").key).action.parameters == {"points": points}


def test_an_unwritable_store_is_a_one_line_error(toy):
    toy.store.folder.write_text("a file is in the way")
    with pytest.raises(StoreError) as caught:
        toy.run()
    assert "\n" not in caught.value.line()


def test_plan_agrees_with_the_run_that_follows(toy):
    assert {p.status for p in plan(toy.request(), toy.store)} == {"run", "unknown"}
    toy.run()
    for changes in ({"svd__alpha": 0.2}, {"align__threshold": 0.65}, {"seed": 3}):
        request = toy.request(**changes)
        planned = {p.name: p for p in plan(request, toy.store)}
        run = toy.run(request)
        for entry in run.stages:
            status = planned[entry.node].status
            assert status == "unknown" or {"cached": "cached", "run": "computed"}[status] == entry.status
            if status == "run":
                assert planned[entry.node].key == entry.key
                assert planned[entry.node].reason == entry.reason
