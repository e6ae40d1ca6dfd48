"""The quick copy of slow weights."""

from __future__ import annotations

import logging

import pytest
import torch
from safetensors.torch import save_file

from svdaudio.weights.quick_copy import Weights, cache_path, cached, forget

SHARED = torch.arange(6.0)
TENSORS = {"a": SHARED, "b": SHARED.view(2, 3), "c": torch.ones(4, 2).T, "n": torch.tensor(7)}


class Source:
    """A published file, with a count of how often it was read."""

    def __init__(self, path) -> None:
        self.path = path
        self.n_read = 0
        path.write_bytes(b"published")

    def __call__(self):
        self.n_read += 1
        return Weights(tensors=TENSORS, facts={"names": ["cat", "dog"]})

    def load(self, *, name="detector", digest="d1"):
        return cached(self.path, name=name, digest=digest, read=self)


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "x.pt")


def same(weights):
    return weights.tensors.keys() == TENSORS.keys() and all(
        torch.equal(weights.tensors[key], TENSORS[key]) for key in TENSORS
    )


def test_the_file_is_read_once(source):
    first, second = source.load(), source.load()
    assert source.n_read == 1
    assert same(first)
    assert same(second)
    assert second.facts == {"names": ["cat", "dog"]}


def test_a_copy_of_another_file_or_network_is_not_used(source):
    source.load()
    source.load(digest="d2")
    assert source.n_read == 2
    source.load(digest="d1")
    assert source.n_read == 3
    cache_path(source.path, "detector").replace(cache_path(source.path, "tagger"))
    source.load(name="tagger", digest="d1")
    assert source.n_read == 4


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_a_damaged_copy_is_rebuilt(source, damage):
    source.load()
    path = cache_path(source.path, "detector")
    path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    assert same(source.load())
    assert source.n_read == 2
    source.load()
    assert source.n_read == 2


def test_a_copy_without_the_expected_header_is_not_used(source):
    save_file({key: torch.zeros(3) for key in TENSORS}, cache_path(source.path, "detector"))
    assert same(source.load())
    save_file({"a": torch.zeros(3)}, cache_path(source.path, "detector"), metadata={"svdaudio-cache": "[]"})
    assert same(source.load())
    assert source.n_read == 2


def test_without_a_digest_there_is_no_copy(source):
    source.load(digest=None)
    assert not cache_path(source.path, "detector").exists()


def test_without_write_access_the_file_is_read_each_time(source, monkeypatch, caplog):
    def full(*given, **also):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("svdaudio.weights.quick_copy.save_aligned", full)
    with caplog.at_level(logging.WARNING):
        assert same(source.load())
        assert same(source.load())
    assert source.n_read == 2
    assert "No space left" in caplog.text
    assert [path.name for path in source.path.parent.iterdir()] == ["x.pt"]


def test_a_copy_can_be_removed(source):
    source.load()
    forget(source.path, "detector")
    forget(source.path, "detector")
    source.load()
    assert source.n_read == 2


def test_changing_a_mapped_tensor_does_not_change_the_copy(source):
    source.load().tensors["a"].zero_()
    assert same(source.load())
    assert source.n_read == 1
