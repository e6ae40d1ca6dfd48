"""The record of a batch, how it is reopened, and its table."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from svdaudio.engine.batches import (
    BatchPolicy,
    Prepared,
    check_table,
    closed,
    members_of,
    open_batch,
    policy_of,
    reopen_batch,
    table,
    write_table,
)
from svdaudio.errors import InputError, RunError


def prepared(toy, *alphas, **more):
    found = []
    for alpha in alphas:
        request = toy.request(svd__alpha=alpha, **more)
        found.append(Prepared(name=f"a{alpha}", request=request, settings={"svd.alpha": alpha}))
    return found


def opened(toy, *alphas, **more):
    return open_batch(toy.store, prepared(toy, *alphas, **more), files={"pairs": toy.files["original"]}, title="t")


def test_a_new_batch_names_its_runs_and_is_newer_than_them(toy):
    batch = opened(toy, 0.1, 0.2)
    assert batch.n_done == 0
    assert [member.name for member in members_of(toy.store.runs.load(batch.record.id))] == ["a0.1", "a0.2"]
    assert toy.store.runs.ids()[0] == batch.record.id
    assert len(toy.store.runs.ids()) == 3
    assert {toy.store.runs.load(job.run.id).state for job in batch.jobs} == {"interrupted"}


def test_no_two_runs_of_a_batch_have_the_same_id(toy, monkeypatch):
    ids = iter(["20260101-000000-000-aaaa"] * 3 + ["20260101-000000-000-bbbb", "20260101-000000-000-cccc"])
    for module in ("svdaudio.engine.request", "svdaudio.engine.batches"):
        monkeypatch.setattr(f"{module}.new_run_id", lambda *now: next(ids))
    batch = opened(toy, 0.1, 0.2)
    assert [job.run.id[-4:] for job in batch.jobs] == ["aaaa", "bbbb"]
    assert batch.record.id.startswith("20260101-000000-000-cccc")


def test_an_unfinished_batch_is_found_again_and_a_finished_one_is_not(toy):
    batch = opened(toy, 0.1, 0.2)
    again = opened(toy, 0.1, 0.2)
    assert again.record.id == batch.record.id
    assert [job.run.id for job in again.jobs] == [job.run.id for job in batch.jobs]
    runs = [replace(job.run, state="finished", results={"scores": {}}) for job in batch.jobs]
    toy.store.runs.write(runs[0])
    assert opened(toy, 0.1, 0.2).n_done == 1
    toy.store.runs.write(closed(batch.record, runs, seconds=1.0, table=None))
    assert opened(toy, 0.1, 0.2).record.id != batch.record.id


@pytest.mark.parametrize("change", ["alpha", "seed", "picture", "model", "order"])
def test_other_work_is_another_batch(toy, change):
    first = opened(toy, 0.1, 0.2)
    if change == "picture":
        toy.files["edited"].write_text("1 1 1 1")
    if change == "model":
        toy.with_model(3.0)
    alphas = {"alpha": (0.1, 0.3), "order": (0.2, 0.1)}.get(change, (0.1, 0.2))
    assert opened(toy, *alphas, **({"seed": 7} if change == "seed" else {})).record.id != first.record.id


def test_execution_settings_do_not_make_another_batch(toy):
    first = opened(toy, 0.1)
    assert opened(toy, 0.1, execution__threads=1).record.id == first.record.id


def test_an_active_batch_is_not_reopened(toy):
    first = opened(toy, 0.1)
    with toy.store.runs.hold(first.record.id):
        assert opened(toy, 0.1).record.id != first.record.id


def test_a_batch_is_reopened_from_its_record(toy):
    batch = opened(toy, 0.1, 0.2)
    again = reopened(toy, batch.record.id)
    assert [job.request.config for job in again.jobs] == [job.request.config for job in batch.jobs]
    with pytest.raises(RunError, match="is not a batch"):
        members_of(batch.jobs[0].run)


def lose(toy, run_id, how):
    path = toy.store.runs.folder / f"{run_id}.json"
    if how == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text()[:50])


@pytest.mark.parametrize("how", ["gone", "damaged"])
@pytest.mark.parametrize("again", ["the same command", "by its record"])
def test_a_pair_whose_record_is_lost_gets_a_new_run(toy, how, again):
    batch = opened(toy, 0.1, 1.7, seed=7)
    lose(toy, batch.jobs[1].run.id, how)
    back = opened(toy, 0.1, 1.7, seed=7) if again == "the same command" else reopened(toy, batch.record.id)
    assert back.record.id == batch.record.id
    assert toy.store.runs.ids()[0] == batch.record.id
    assert back.members == batch.members
    job, before = back.jobs[1], batch.jobs[1]
    assert toy.store.runs.load(job.run.id).state == "interrupted"
    for name in ("id", "kind", "files", "config", "bundle", "targets", "stages"):
        assert getattr(job.run, name) == getattr(before.run, name)
    assert job.request.config == before.request.config
    assert (job.request.config.svd.alpha, job.request.config.seed) == (1.7, 7)


def reopened(toy, run_id):
    return reopen_batch(
        toy.store.runs.load(run_id), toy.store, lambda name: toy.bundle, {"toy": toy.method}.__getitem__
    )


def test_a_run_made_from_a_batch_record_names_the_sources_of_its_values(toy):
    found = prepared(toy, 0.1, 1.7)
    for one in found:
        one.resolved.sources.update({"seed": "run.toml", "svd.k": one.name, "svd.alpha": one.name})
    batch = open_batch(toy.store, found, files={}, title="t")
    assert (batch.record.config["svd"].get("alpha"), batch.record.config["svd"]["k"]) == (None, 5)
    lose(toy, batch.jobs[1].run.id, "gone")
    run = reopened(toy, batch.record.id).jobs[1].run
    assert run.sources == {"seed": "run.toml", "svd.k": "the pairs", "svd.alpha": f"batch {batch.record.id}"}
    assert run.remarks == ("svd.alpha = 1.7 is outside the recommended 0.1 to 0.5",)


def test_a_lost_run_is_not_rebuilt_from_other_pictures_or_an_old_record(toy):
    batch = opened(toy, 0.1, 0.2)
    lose(toy, batch.jobs[1].run.id, "gone")
    toy.files["edited"].write_text("1 1 1 1")
    with pytest.raises(RunError, match="has changed"):
        reopened(toy, batch.record.id)
    toy.files["edited"].write_text("9 3 7 1")
    fields = ("name", "run", "out", "settings")
    old = [{name: member[name] for name in fields} for member in batch.record.results["members"]]
    toy.store.runs.write(replace(batch.record, results={**batch.record.results, "members": old}))
    with pytest.raises(RunError, match=r"is missing\. Repeat the command of the batch"):
        reopened(toy, batch.record.id)


def test_outputs_are_recorded_and_the_last_call_wins(toy):
    def opened(**more):
        return open_batch(toy.store, prepared(toy, 0.1), files={}, title="t", policy=BatchPolicy(**more)).record

    record = opened(table="/x/t.csv", n_workers=2, on_error="stop", study={"edits": ["cat-duck"]})
    assert policy_of(toy.store.runs.load(record.id)) == BatchPolicy(
        table="/x/t.csv", n_workers=2, on_error="stop", study={"edits": ["cat-duck"]}
    )
    again = opened(pictures=True)
    assert again.id == record.id
    assert policy_of(again) == BatchPolicy(pictures=True)
    old = {name: value for name, value in record.results.items() if name != "asked"}
    assert policy_of(replace(record, results=old)) == BatchPolicy()


def test_the_table_has_one_row_per_pair_and_fixed_columns(toy, tmp_path):
    batch = opened(toy, 0.1, 0.2)
    results = {"scores": {"manipulated": {"dog": 0.5}}, "audio": {"manipulated": "/x/m.wav"}}
    runs = [
        replace(batch.jobs[0].run, state="finished", results=results),
        replace(batch.jobs[1].run, state="failed", error="oh"),
    ]
    rows = table(batch.members, runs)
    assert list(rows[0]) == list(rows[1])
    assert rows[0]["manipulated.dog"] == 0.5
    assert (rows[1]["manipulated.dog"], rows[1]["error"], rows[1]["svd.alpha"]) == (None, "oh", 0.2)
    record = closed(batch.record, runs, seconds=2.0, table=None)
    assert (record.state, record.error) == ("failed", "1 of 2 pairs failed")
    assert record.results["counts"] == {"finished": 1, "failed": 1}
    with write_table(tmp_path / "new" / "t.csv", rows).open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["name"] for row in read] == ["a0.1", "a0.2"]
    assert [row["manipulated.dog"] for row in read] == ["0.5", ""]
    lines = write_table(tmp_path / "t.jsonl", rows).read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    for wrong in (tmp_path / "t.parquet", tmp_path):
        with pytest.raises(InputError, match="not a valid table file"):
            check_table(wrong)
