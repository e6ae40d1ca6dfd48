"""What the garbage collection removes and keeps."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from svdaudio.errors import ConfigError, InputError, StoreError
from svdaudio.store.gc import DAY_S, HOUR_S, Policy, carry_out, plan_collection
from svdaudio.store.lookup import full_key

ALL = Policy(grace_s=0.0)


def keys_of(run, *nodes):
    return {run.stage(node).key for node in nodes}


def age(store, key, seconds):
    """Makes an artifact look as if it was last used that long ago."""
    then = time.time() - seconds
    os.utime(store.path(key) / "record.json", (then, then))


def make_old(store, run, days):
    """Makes a run look as if it was started that long ago."""
    began = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * DAY_S))
    return store.runs.write(replace(run, created_at=began))


def collect(store, policy, *, now_s=None):
    return carry_out(store, plan_collection(store, policy, now_s=time.time() + 1 if now_s is None else now_s))


def test_nothing_is_removed_while_all_runs_are_kept(toy):
    run = toy.run()
    collection = collect(toy.store, ALL)
    assert (collection.runs, collection.removals, collection.leftovers) == ((), (), ())
    assert collection.n_kept == len({entry.key for entry in run.stages})
    assert collection.n_bytes_kept == sum(footprint.n_bytes for footprint in toy.store.footprints())


def test_old_runs_are_forgotten_with_artifacts_that_only_they_used(toy):
    old = make_old(toy.store, toy.run(), days=10)
    new = toy.run(toy.request(svd__alpha=0.2))
    planned = plan_collection(toy.store, Policy(keep_days=5, grace_s=0.0), now_s=time.time() + 1)
    alone = keys_of(old, "mix", "manipulated.scores")
    assert planned.runs == (old.id,)
    assert {removal.footprint.key for removal in planned.removals} == alone
    assert {removal.why for removal in planned.removals} == {"no run uses it"}
    assert set(toy.store.runs.ids()) == {old.id, new.id}, "a plan changes nothing"

    done = carry_out(toy.store, planned)
    assert done == planned
    assert toy.store.runs.ids() == [new.id]
    assert set(toy.store.keys()) == {entry.key for entry in new.stages}
    assert toy.run(toy.request(svd__alpha=0.2)).stage("mix").status == "cached"
    toy.run()
    assert toy.calls == {"mix": 1, "scores": 1}


def test_young_artifacts_are_kept(toy):
    run = make_old(toy.store, toy.run(), days=10)
    assert not collect(toy.store, Policy(keep_days=5, grace_s=HOUR_S)).removals
    assert not list(toy.store.runs)
    key = run.stage("mix").key
    age(toy.store, key, 2 * HOUR_S)
    assert [r.footprint.key for r in collect(toy.store, Policy(grace_s=HOUR_S)).removals] == [key]


def test_a_cache_hit_renews_an_artifact(toy):
    run = toy.run()
    key = run.stage("mix").key
    age(toy.store, key, DAY_S)
    toy.run()
    (footprint,) = (f for f in toy.store.footprints() if f.key == key)
    assert footprint.used_at_s > time.time() - HOUR_S


def test_pinned_artifacts_are_kept(toy):
    run = make_old(toy.store, toy.run(), days=10)
    pinned = run.stage("mix").key
    toy.store.pin(pinned)
    collect(toy.store, Policy(keep_days=5, max_bytes=0, grace_s=0.0))
    assert list(toy.store.keys()) == [pinned]
    toy.store.unpin(pinned)
    collect(toy.store, ALL)
    assert not list(toy.store.keys())


def test_the_least_recently_used_go_first(toy):
    run = toy.run()
    sizes = {footprint.key: footprint.n_bytes for footprint in toy.store.footprints()}
    order = [run.stage(node).key for node in ("mix", "original.image", "manipulated.scores", "edited.image")]
    for key in sizes:
        age(toy.store, key, 10)
    for place, key in enumerate(order):
        age(toy.store, key, DAY_S * (9 - place))
    most = sum(sizes.values()) - sizes[order[0]] - 1
    collection = collect(toy.store, Policy(max_bytes=most))
    assert [removal.footprint.key for removal in collection.removals] == order[:2]
    assert {removal.why for removal in collection.removals} == {"least recently used"}
    assert collection.n_bytes_kept == sum(footprint.n_bytes for footprint in toy.store.footprints()) <= most
    assert toy.store.runs.ids() == [run.id], "the run is still known"
    again = toy.run()
    assert toy.calls == {"mix": 1, "image": 1}
    assert again.stage("mix").reason == "the artifact was removed"
    assert again.stage("mix").outputs == run.stage("mix").outputs


def test_artifacts_that_an_active_run_may_use_are_kept(toy):
    """The record of a run lists its hits only later: artifacts used since it began are kept as well."""
    done = toy.run()
    for footprint in toy.store.footprints():
        age(toy.store, footprint.key, DAY_S)
    going = replace(done, id="20990101-000000-000-aaaa", state="running", stages=(done.stage("mix"),))
    make_old(toy.store, going, days=0.5)
    hit = done.stage("edited.factors").key
    toy.store.touch(hit)
    with toy.store.runs.hold(going.id):
        collection = collect(toy.store, Policy(keep_days=0, max_bytes=0, grace_s=0.0))
    assert set(toy.store.keys()) == {done.stage("mix").key, hit}
    assert toy.store.runs.ids() == [going.id]
    assert "over the limit are kept" in collection.remarks[0]
    collect(toy.store, Policy(keep_days=0, grace_s=0.0))  # it has ended: its record has no holder
    assert not list(toy.store.keys())


def test_artifacts_used_after_the_plan_are_kept(toy):
    run = make_old(toy.store, toy.run(), days=10)
    for footprint in toy.store.footprints():
        age(toy.store, footprint.key, DAY_S)
    planned = plan_collection(toy.store, Policy(keep_days=5, grace_s=HOUR_S), now_s=time.time())
    used, held = run.stage("mix").key, run.stage("edited.image").key
    toy.store.touch(used)
    with toy.store.lock(held), toy.store.runs.hold(run.id):
        done = carry_out(toy.store, planned)
    assert set(toy.store.keys()) == {used, held}
    assert done.runs == ()
    assert done.n_kept == 2
    assert len(done.removals) == len(planned.removals) - 2


def test_an_unreadable_run_keeps_the_artifacts_that_it_may_use(toy):
    run = toy.run()
    path = toy.store.folder / "runs" / f"{run.id}.json"
    path.write_bytes(path.read_bytes()[:-30])
    collection = collect(toy.store, ALL)
    assert not collection.removals
    assert run.id in collection.remarks[0]
    assert path.exists()
    path.unlink()
    assert len(collect(toy.store, ALL).removals) == len({entry.key for entry in run.stages})


def test_old_leftovers_are_removed(toy):
    run = toy.run()
    store = toy.store
    folder = store.folder
    key = run.stage("mix").key
    store.quarantine(key, "on purpose")
    (folder / "tmp" / "dead.1.abc" / "arrays.zarr").mkdir(parents=True)
    (folder / "runs" / ".20250101.77.abc.partial").write_text("{")
    (folder / "runs" / ".20250101-000000-000-dead.lock").touch()
    (folder / "locks" / ("d" * 64)).touch()
    (store.path("e" * 64) / "arrays.zarr").mkdir(parents=True)
    (folder / "out" / "some").mkdir(parents=True)
    (folder / "out" / "some" / ".sound.wav.1.partial").write_text("RIFF")
    (folder / "out" / "some" / "sound.wav").write_text("RIFF")
    assert not collect(store, Policy(grace_s=HOUR_S)).leftovers
    collection = collect(store, Policy(grace_s=HOUR_S), now_s=time.time() + 2 * HOUR_S)
    kinds = sorted(leftover.kind for leftover in collection.leftovers)
    assert kinds == ["lock", "lock", "quarantined", *["unfinished"] * 4]
    assert not list(store.leftovers())
    for name in ("tmp", "quarantine", "locks"):
        assert not list((folder / name).iterdir())
    assert [path.name for path in (folder / "runs").iterdir()] == [f"{run.id}.json"]
    assert (folder / "out" / "some" / "sound.wav").exists()
    assert not store.was_quarantined(key)


def test_files_of_active_writers_are_not_leftovers(toy):
    run = toy.run()
    seen = []

    def at_step(step):
        seen.append((step, collect(toy.store, ALL, now_s=time.time() + DAY_S).leftovers))

    toy.store.quarantine(run.stage("mix").key, "on purpose")
    record = toy.store.find(run.stage("edited.image").key)
    arrays = toy.store.load(record.key)
    toy.store.remove(record.key, unless_used_after_s=time.time() + 1)
    writer = type(toy.store)(toy.store.folder, at_step=at_step)
    with writer.lock(record.key):
        writer.save(record, arrays)
    first, *rest = seen
    assert [leftover.kind for leftover in first[1]] == ["quarantined"]
    assert len(rest) == 5
    assert all(leftovers == () for _, leftovers in rest)
    assert toy.store.find(record.key) == record


def test_artifacts_with_a_future_date_of_use_are_removed_first(toy):
    """The clock was set back. Its earlier timestamps are meaningless, except that they precede all present ones."""
    run = toy.run()
    keys = [run.stage(node).key for node in ("mix", "original.image", "edited.image", "manipulated.scores")]
    sizes = {footprint.key: footprint.n_bytes for footprint in toy.store.footprints()}
    for key in sizes:
        age(toy.store, key, 10)
    age(toy.store, keys[0], -70 * 365 * DAY_S)
    age(toy.store, keys[1], DAY_S)
    age(toy.store, keys[2], -300)  # the present, as another machine's clock shows it
    most = sum(sizes.values()) - sizes[keys[0]] - sizes[keys[1]]
    collection = collect(toy.store, Policy(max_bytes=most))
    assert [removal.footprint.key for removal in collection.removals] == keys[:2]
    assert set(toy.store.keys()) == set(sizes) - set(keys[:2])


def test_a_future_orphan_is_removed_unless_it_is_used_again(toy):
    run = toy.run()
    toy.store.runs.remove(run.id)
    keys = sorted(toy.store.keys())
    for key in keys:
        age(toy.store, key, -1000 * DAY_S)
    planned = plan_collection(toy.store, Policy(), now_s=time.time())
    assert {removal.footprint.key for removal in planned.removals} == set(keys)
    toy.store.touch(keys[0])
    carry_out(toy.store, planned)
    assert list(toy.store.keys()) == [keys[0]]


def test_artifacts_of_an_active_run_with_a_fast_clock_are_kept(toy):
    done = toy.run()
    going = replace(done, id="20990101-000000-000-aaaa", state="running", stages=())
    make_old(toy.store, going, days=-3)
    toy.store.runs.remove(done.id)
    for key in list(toy.store.keys()):
        age(toy.store, key, -3 * DAY_S)
    with toy.store.runs.hold(going.id):
        assert not collect(toy.store, Policy(max_bytes=0, grace_s=0.0)).removals
    assert collect(toy.store, Policy(max_bytes=0, grace_s=0.0)).removals


def test_a_run_with_a_future_or_invalid_date_is_kept_and_named(toy):
    ahead = make_old(toy.store, toy.run(), days=-1000)
    undated = toy.store.runs.write(replace(toy.run(), id="a", created_at=""))
    collection = collect(toy.store, Policy(keep_days=1, grace_s=0.0))
    assert collection.runs == ()
    assert {ahead.id, undated.id} <= set(toy.store.runs.ids())
    assert f"1 runs are kept because their dates are in the future ({ahead.id})" in collection.remarks[0]


def test_leftovers_with_a_future_date_are_removed(toy):
    toy.run()
    left = toy.store.folder / "tmp" / "dead.1.abc"
    left.mkdir()
    os.utime(left, (time.time() + 1000 * DAY_S,) * 2)
    assert [one.name for one in collect(toy.store, Policy()).leftovers] == ["tmp/dead.1.abc"]


def test_artifacts_pinned_after_the_plan_are_kept(toy):
    run = make_old(toy.store, toy.run(), days=10)
    planned = plan_collection(toy.store, Policy(keep_days=5, grace_s=0.0), now_s=time.time() + 1)
    toy.store.pin(run.stage("mix").key)
    done = carry_out(toy.store, planned)
    assert list(toy.store.keys()) == [run.stage("mix").key]
    assert done.n_kept == 1


@pytest.mark.parametrize("folder", ["objects", "tmp", "locks", "runs", "a shard"])
def test_nothing_is_forgotten_in_a_read_only_store(toy, monkeypatch, folder):
    run = make_old(toy.store, toy.run(), days=10)
    planned = plan_collection(toy.store, Policy(keep_days=5, grace_s=0.0), now_s=time.time() + 1)
    closed = toy.store.path(run.stage("mix").key).parent if folder == "a shard" else toy.store.folder / folder
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(closed) and access(path, mode))
    with pytest.raises(StoreError, match=f"cannot be written: got Permission denied: {closed}"):
        carry_out(toy.store, planned)
    assert toy.store.runs.ids() == [run.id]


@pytest.mark.parametrize("policy", [{"keep_days": -1}, {"max_bytes": -1}, {"grace_s": float("nan")}])
def test_an_invalid_policy_is_refused(policy):
    with pytest.raises(ConfigError, match="is negative"):
        Policy(**policy)


def test_short_keys_are_completed(toy):
    run = toy.run()
    key = run.stage("mix").key
    assert full_key(toy.store, key[:8].upper()) == key
    for none in ("", "zz", key + "0"):
        with pytest.raises(InputError, match="begins with"):
            full_key(toy.store, none)
    beginnings = [entry.key[0] for entry in run.stages]
    twice = next((c for c in beginnings if beginnings.count(c) > 1), None)
    if twice is None:
        toy.store.pin(key)
        toy.store.pin(twice := key[:5] + "0" * 59)
        with pytest.raises(InputError, match="names 2 artifacts"):
            full_key(toy.store, key[:5], pinned=True)
    else:
        with pytest.raises(InputError, match="artifacts"):
            full_key(toy.store, twice)
