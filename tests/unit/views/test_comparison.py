"""Comparisons of runs: differences, their origins, and the order of scores and verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import TOY_NODES

from svdaudio.views.comparison import OTHER_BYTES, RESULT, compare_records


def finding(name, *, ok, wanted="silenced", class_name=None):
    return {"object": name, "class_name": class_name or name, "wanted": wanted, "ok": ok, "text": f"{name}: {ok}"}


def with_results(run, scores, verdict=(), result="made"):
    return replace(run, results={"scores": scores, "verdict": list(verdict), "result": result})


def compare(*runs, nodes=TOY_NODES):
    return compare_records(runs, [nodes] * len(runs))


def test_equal_runs_have_no_differences(toy):
    one, other = toy.run(), toy.run()
    found = compare(one, other)
    assert (found.parameters, found.files, found.stages, found.verdict) == ((), (), (), ())
    assert set(found.same_stages) == {entry.node for entry in one.stages}
    assert found.n_same_parameters > 20
    assert found.limits == ("no run has scores",)


def test_a_changed_parameter_has_its_sources_and_its_stage_is_the_origin(toy):
    one = toy.run()
    other = replace(toy.run(toy.request(svd__alpha=0.2)), sources={"svd.alpha": "run.toml"})
    found = compare(one, other)
    (row,) = found.parameters
    assert (row.name, [(s.value, s.source, s.is_given) for s in row.settings]) == (
        "svd.alpha",
        [(0.3, "default", False), (0.2, "run.toml", True)],
    )
    assert [(row.node, row.reason, row.same_outputs) for row in found.origins] == [
        ("mix", "svd.alpha changed 0.3 → 0.2", False)
    ]
    assert [(row.node, row.reason) for row in found.followers] == [
        ("manipulated.scores", "input embedding changed (mix)")
    ]


def test_a_downstream_stage_is_an_origin_if_its_own_settings_differ(toy):
    found = compare(toy.run(), toy.run(toy.request(svd__alpha=0.2, seed=7)))
    assert {row.node: row.reason for row in found.origins} == {
        "mix": "svd.alpha changed 0.3 → 0.2",
        "manipulated.scores": "seed changed 42 → 7",
    }
    assert found.followers == ()


def test_any_number_of_runs_is_compared_with_the_first(toy):
    runs = [toy.run(), toy.run(), toy.run(toy.request(seed=7)), toy.run(toy.request(svd__k=3))]
    found = compare(*runs)
    assert {row.name: [s.value for s in row.settings] for row in found.parameters} == {
        "svd.k": [5, 5, 5, 3],
        "seed": [42, 42, 7, 42],
    }
    scores = next(row for row in found.stages if row.node == "manipulated.scores")
    assert [bool(one.reasons) for one in scores.differences] == [False, True, True]


def test_a_file_with_other_content_is_the_origin(toy):
    one = toy.run()
    toy.files["edited"].write_text("9 3 7 2")
    found = compare(one, toy.run())
    (row,) = found.files
    assert (row.name, row.files[0].path, row.files[0].digest != row.files[1].digest) == (
        "edited",
        str(toy.files["edited"]),
        True,
    )
    assert [row.node for row in found.origins] == ["edited.image"]


def test_a_stage_that_a_run_did_not_reach_is_missing_and_not_different(toy):
    one = toy.run()
    toy.failing["mix"] = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        toy.run(run=(asked := replace(one, id=f"{one.id}x", stages=())), request=toy.request(svd__alpha=0.2))
    failed = toy.store.runs.load(asked.id)
    found = compare(one, failed)
    assert found.lacking(0) == ()
    assert found.lacking(1) == ("mix", "manipulated.scores")
    assert not any(row.differs for row in found.stages)
    assert found.limits[0] == f"run {failed.id} did not finish: only the stages that it reached are compared"


def test_other_bytes_of_the_same_computation_are_a_difference(toy):
    one = toy.run()
    entry = replace(one.stage("mix"), outputs={"embedding": "0" * 64})
    (row,) = compare(one, one.with_stage(entry)).origins
    assert (row.node, row.reason, row.same_outputs) == ("mix", OTHER_BYTES, False)


def test_a_different_stage_of_the_same_name_is_reported(toy):
    one = toy.run()
    entry = one.stage("mix")
    action = replace(entry.action, stage="mix_one")
    (row,) = compare(one, one.with_stage(replace(entry, stage="mix_one", action=action))).origins
    assert row.reason == "stage changed mix → mix_one"


def test_an_input_from_a_stage_that_the_other_run_lacks_is_an_origin(toy):
    one = toy.run()
    below = one.stage("manipulated.scores")
    other = one.with_stage(replace(below, action=replace(below.action, inputs={"embedding": "0" * 64})))
    other = replace(other, stages=tuple(entry for entry in other.stages if entry.node != "mix"))
    found = compare(one, other)
    assert [row.node for row in found.origins] == ["manipulated.scores"]
    assert found.lacking(1) == ("mix",)


def test_a_run_of_an_unknown_method_is_compared_by_its_record(toy):
    one = toy.run(toy.request(svd__k=3))
    toy.files["edited"].write_text("9 3 7 2")
    found = compare(one, toy.run(), nodes={})
    assert [(row.node, row.reason) for row in found.origins] == [
        ("edited.image", "file 'edited' changed"),
        ("mix", "k changed 3 → 5"),
    ]


def test_scores_are_ordered_by_change_then_result_then_request(toy):
    run = toy.run()
    one = with_results(
        run, {"plain": {"cat": 0.9, "dog": 0.2}, "made": {"cat": 0.5, "dog": 0.9, "duck": 0.1}},
        [finding("tom", class_name="cat", ok=False), finding("dog", wanted="kept", ok=True)],
    )  # fmt: skip
    other = with_results(run, {"plain": {"cat": 0.4, "dog": 0.2}, "made": {"cat": 0.4, "dog": 0.2, "duck": 0.1}})
    found = compare(one, other)
    assert [(row.sound, row.class_name, row.is_asked, row.is_changed) for row in found.scores] == [
        ("made", "cat", True, True),
        ("made", "dog", False, True),
        ("plain", "cat", True, True),
        ("made", "duck", False, False),
        ("plain", "dog", False, False),
    ]
    assert found.asked == ("cat",)
    assert found.limits == ()


def test_results_with_different_names_are_compared(toy):
    run = toy.run()
    one = with_results(replace(run, kind="manipulate"), {"plain": {"cat": 0.9}, "made": {"cat": 0.1}})
    other = with_results(replace(run, kind="baseline"), {"plain": {"cat": 0.9}}, result="")
    found = compare(one, other)
    assert [(row.sound, row.scores) for row in found.scores] == [(RESULT, (0.1, 0.9)), ("plain", (0.9, 0.9))]
    assert found.results == ("made", "plain")
    assert found.limits == (
        "the runs use different methods (manipulate, baseline): only what they share is compared",
        f"the main sounds have different names: 'result' compares made of {run.id}, plain of {run.id}",
    )


def test_disagreeing_verdicts_come_first(toy):
    run = toy.run()
    one = with_results(run, {}, [finding("cat", ok=True), finding("dog", ok=True)])
    other = with_results(run, {}, [finding("cat", ok=True), finding("dog", ok=False), finding("pig", ok=None)])
    found = compare(one, other).verdict
    assert [(row.object, row.is_changed, row.findings[0] is None) for row in found] == [
        ("dog", True, False),
        ("pig", True, True),
        ("cat", False, False),
    ]
