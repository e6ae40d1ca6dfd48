"""Any sequence of saves, damages and reads: the store never returns anything that was not saved."""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from svdaudio.errors import CorruptArtifactError, MissingArtifactError
from svdaudio.store import Action, ArraySpec, ArtifactRecord, LocalStore, digest_array
from svdaudio.store.gc import DAY_S, Policy, carry_out, plan_collection
from svdaudio.store.objects import Objects, Patience
from svdaudio.store.remote import RemoteStore

FOR_EVER = math.inf
N_KEYS = 4
KEYS = st.integers(0, N_KEYS - 1)
ARRAYS = arrays_of.arrays(
    dtype=st.sampled_from([np.dtype(t) for t in ("?", "<f4", "<f8", "<i8", ">i2", "<u1", "<f2")]),
    shape=arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


class StoreMachine(RuleBasedStateMachine):
    """A store next to its simplest model: a dictionary, and the sets of damaged, pinned and quarantined keys.

    A backend is a subclass that opens the store and accesses its raw files.
    """

    def __init__(self):
        super().__init__()
        self.model = {}
        self.damaged = set()
        self.pinned = set()
        self.n_set_aside = 0
        self.store = self.open()

    def open(self):
        """The store, as another process would open it."""
        raise NotImplementedError

    def chunk(self, key):
        """The name of the one file that holds array "x" of an artifact; None if the array is empty."""
        raise NotImplementedError

    def read(self, name):
        """Returns the content of a file of the store."""
        raise NotImplementedError

    def write(self, name, content):
        """Replaces the content of a file of the store."""
        raise NotImplementedError

    @rule(k=KEYS, array=ARRAYS)
    def save(self, k, array):
        record = make_record(k, array)
        got = self.store.save(record, {"x": array})
        first = self.model.setdefault(k, (record, array))[0]
        assert got == first

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def load(self, data):
        k = data.draw(st.sampled_from(sorted(self.model)))
        record, array = self.model[k]
        try:
            loaded = self.store.load(record.key)["x"]
        except CorruptArtifactError:
            assert k in self.damaged
            self.forget(k)
            self.n_set_aside += 1
        else:
            assert digest_array(loaded) == digest_array(array)
            assert loaded.shape == array.shape

    @rule(k=KEYS)
    def load_missing(self, k):
        if k not in self.model:
            with pytest.raises(MissingArtifactError):
                self.store.load(action(k).key)

    @precondition(lambda self: set(self.model) - self.damaged)
    @rule(data=st.data())
    def damage(self, data):
        k = data.draw(st.sampled_from(sorted(set(self.model) - self.damaged)))
        name = self.chunk(action(k).key)
        if name is not None:
            content = bytearray(self.read(name))
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            self.write(name, bytes(content))
            self.damaged.add(k)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def quarantine(self, data):
        k = data.draw(st.sampled_from(sorted(self.model)))
        assert self.store.quarantine(action(k).key, "on purpose")
        assert self.store.was_quarantined(action(k).key)
        self.forget(k)
        self.n_set_aside += 1

    @rule(k=KEYS, used=st.booleans(), held=st.booleans())
    def remove(self, k, used, held):
        key = action(k).key
        goes = k in self.model and k not in self.pinned and not used and not held
        with self.store.lock(key) if held else nullcontext():
            assert self.store.remove(key, unless_used_after_s=0.0 if used else FOR_EVER) == goes
        if goes:
            self.forget(k)

    @rule(k=KEYS)
    def touch(self, k):
        self.store.touch(action(k).key)

    @rule(k=KEYS)
    def pin(self, k):
        self.store.pin(action(k).key)
        self.pinned.add(k)

    @rule(k=KEYS)
    def unpin(self, k):
        assert self.store.unpin(action(k).key) == (k in self.pinned)
        self.pinned.discard(k)

    @rule(days=st.sampled_from([0, 2]))
    def collect(self, days):
        """No run uses anything here: unpinned old artifacts are removed, and everything in quarantine."""
        now_s = time.time() + days * DAY_S
        done = carry_out(self.store, plan_collection(self.store, Policy(grace_s=DAY_S), now_s=now_s))
        orphans = set(self.model) - self.pinned if days else set()
        assert {removal.footprint.key for removal in done.removals} == {action(k).key for k in orphans}
        assert len(set_aside(done.leftovers)) == (self.n_set_aside if days else 0)
        for k in orphans:
            self.forget(k)
        if days:
            self.n_set_aside = 0

    @rule()
    def reopen(self):
        self.store = self.open()

    def forget(self, k):
        del self.model[k]
        self.damaged.discard(k)

    @invariant()
    def keys_match_the_model(self):
        assert set(self.store.keys()) == {record.key for record, _ in self.model.values()}
        for record, _ in self.model.values():
            assert self.store.find(record.key) == record

    @invariant()
    def footprints_match_the_model(self):
        footprints = {footprint.key: footprint.n_bytes for footprint in self.store.footprints()}
        assert footprints.keys() == {record.key for record, _ in self.model.values()}
        assert all(n_bytes > 0 for n_bytes in footprints.values())
        assert self.store.pins() == {action(k).key for k in self.pinned}
        assert len(set_aside(self.store.leftovers())) == self.n_set_aside


class LocalMachine(StoreMachine):
    """The store in a folder."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        super().__init__()

    def teardown(self):
        shutil.rmtree(self.folder)

    def open(self):
        return LocalStore(self.folder, durable=False)

    def chunk(self, key):
        place = self.store.path(key) / "arrays.zarr" / "x" / "c"
        return next((path for path in (place, *place.rglob("*")) if path.is_file()), None)

    def read(self, name):
        return name.read_bytes()

    def write(self, name, content):
        name.write_bytes(content)


class RemoteMachine(StoreMachine):
    """The store in a bucket; each example has its own prefix."""

    n_examples = itertools.count()

    def __init__(self, s3):
        self.place = s3.location(f"machine{next(self.n_examples)}")
        self.objects = Objects(self.place, Patience())
        super().__init__()

    def open(self):
        return RemoteStore(self.place)

    def chunk(self, key):
        found = (listed.path for listed in self.objects.list(f"arrays/{key[:2]}/{key}"))
        return next((path for path in found if "/x/c" in path), None)

    def read(self, name):
        return self.objects.get(name).content

    def write(self, name, content):
        self.objects.put(name, content)


def action(k):
    return Action(stage="toy", version=1, parameters={"k": k}, inputs={}, models={})


def set_aside(leftovers):
    """The artifacts in quarantine; a bucket also has free leases, and there are no other leftovers."""
    kinds = [leftover.kind for leftover in leftovers]
    assert set(kinds) <= {"quarantined", "lock"}
    return [kind for kind in kinds if kind == "quarantined"]


def make_record(k, array):
    return ArtifactRecord(
        action=action(k),
        outputs={"x": ArraySpec(digest=digest_array(array), shape=array.shape, dtype=array.dtype.str)},
        sources={}, notes=(), seconds=0.0, code_version="0", host="", created_at="",
    )  # fmt: skip


def test_a_store_in_a_folder():
    run_state_machine_as_test(LocalMachine, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))


def test_a_store_in_a_bucket(s3):
    few = settings(max_examples=3, stateful_step_count=12, deadline=None)
    run_state_machine_as_test(lambda: RemoteMachine(s3), settings=few)


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_many_more_examples_of_both_stores(s3):
    more = settings(max_examples=200, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(LocalMachine, settings=more)
    run_state_machine_as_test(lambda: RemoteMachine(s3), settings=settings(more, max_examples=40))
