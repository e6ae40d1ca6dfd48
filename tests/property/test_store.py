"""Any sequence of saving, damaging and reading: the store never gives what was not put in."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from svdaudio.errors import CorruptArtifactError, StoreError
from svdaudio.store import Action, ArraySpec, ArtifactRecord, LocalStore, digest_array

N_KEYS = 4
KEYS = st.integers(0, N_KEYS - 1)
ARRAYS = arrays_of.arrays(
    dtype=st.sampled_from([np.dtype(t) for t in ("?", "<f4", "<f8", "<i8", ">i2", "<u1", "<f2")]),
    shape=arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


class StoreMachine(RuleBasedStateMachine):
    """A store beside the simplest model of it: a dictionary, and a set of what was damaged."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = LocalStore(self.folder, durable=False)
        self.model = {}
        self.damaged = set()

    def teardown(self):
        shutil.rmtree(self.folder)

    @rule(k=KEYS, array=ARRAYS)
    def save(self, k, array):
        record = ArtifactRecord(
            action=Action(stage="toy", version=1, parameters={"k": k}, inputs={}, models={}),
            outputs={"x": ArraySpec(digest=digest_array(array), shape=array.shape, dtype=array.dtype.str)},
            sources={}, notes=(), seconds=0.0, code_version="0", host="", created_at="",
        )  # fmt: skip
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
            self.damaged.discard(k)
            del self.model[k]
        else:
            assert digest_array(loaded) == digest_array(array)
            assert loaded.shape == array.shape

    @rule(k=KEYS)
    def load_what_is_not_there(self, k):
        if k not in self.model:
            try:
                self.store.load(Action(stage="toy", version=1, parameters={"k": k}, inputs={}, models={}).key)
            except StoreError:
                return
            raise AssertionError("something came out that nobody put in")

    @precondition(lambda self: set(self.model) - self.damaged)
    @rule(data=st.data())
    def damage(self, data):
        k = data.draw(st.sampled_from(sorted(set(self.model) - self.damaged)))
        chunks = [
            p for p in (self.store.path(self.model[k][0].key) / "arrays.zarr" / "x" / "c").rglob("*") if p.is_file()
        ]
        chunks += [p for p in [self.store.path(self.model[k][0].key) / "arrays.zarr" / "x" / "c"] if p.is_file()]
        if chunks:
            content = bytearray(chunks[0].read_bytes())
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            chunks[0].write_bytes(bytes(content))
            self.damaged.add(k)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def quarantine(self, data):
        k = data.draw(st.sampled_from(sorted(self.model)))
        assert self.store.quarantine(self.model[k][0].key, "on purpose")
        del self.model[k]
        self.damaged.discard(k)

    @rule()
    def open_again(self):
        self.store = LocalStore(self.folder, durable=False)

    @invariant()
    def the_same_keys(self):
        assert set(self.store.keys()) == {record.key for record, _ in self.model.values()}
        for record, _ in self.model.values():
            assert self.store.find(record.key) == record


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
