"""Reading pickles without running them, and filling networks strictly."""

from __future__ import annotations

import collections
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from svdaudio.errors import CheckpointError
from svdaudio.weights.reading import Shell, fill, read_inert, read_plain, shell_state


class Bomb:
    """Unpickled by pickle itself, this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("unsaved", torch.ones(2), persistent=False)
        self.names = {0: "cat", 1: "dog"}
        self.anything = collections.Counter("abc")


@pytest.mark.parametrize("old_format", [False, True])
def test_nothing_in_a_file_is_run(tmp_path, old_format):
    path, trace = tmp_path / "x.pt", tmp_path / "trace"
    torch.save({"bomb": Bomb(trace), "weight": torch.ones(2)}, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(CheckpointError, match="cannot be read: expected a PyTorch file of plain tensors"):
        read_plain(path)
    contents = read_inert(path)
    assert isinstance(contents["bomb"], Shell)
    assert torch.equal(contents["weight"], torch.ones(2))
    assert not trace.exists()
    torch.load(path, weights_only=False)  # this is what would have happened
    assert trace.exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_pickled_network_gives_its_state_and_its_attributes(tmp_path, dtype):
    torch.manual_seed(0)
    net = Net().to(dtype)
    torch.save({"model": net, "size": torch.Size([1, 2])}, tmp_path / "x.pt")
    contents = read_inert(tmp_path / "x.pt")
    shell = contents["model"]
    state, wanted = shell_state(shell), net.state_dict()
    assert list(state) == list(wanted)
    assert all(torch.equal(state[key], wanted[key]) and state[key].dtype == wanted[key].dtype for key in wanted)
    assert vars(shell)["names"] == {0: "cat", 1: "dog"}
    assert shell.named.endswith(".Net")
    assert contents["size"] == torch.Size([1, 2])


@pytest.mark.parametrize("read", [read_plain, read_inert])
def test_what_is_no_pytorch_file(tmp_path, read):
    path = tmp_path / "x.pt"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read(path)
    for content in (b"", b"<html>sign in</html>", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="of another kind: expected a dict"):
        read(path)


@pytest.mark.parametrize("read", [read_plain, read_inert])
def test_a_truncated_file(tmp_path, read):
    path = tmp_path / "x.pt"
    torch.save({"weight": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(path)


def test_filling_is_strict_and_takes_the_tensors_themselves():
    state = {key: value.clone() for key, value in Net().state_dict().items()}
    net = fill(Net, state, Path("x.pt"))
    assert net.first.weight.data_ptr() == state["first.weight"].data_ptr()
    assert not net.training
    assert torch.equal(net.unsaved, torch.ones(2))
    with pytest.raises(CheckpointError, match=r"lacks entry first\.bias and 1 more"):
        fill(Net, {key: state[key] for key in state if key not in {"first.bias", "norm.bias"}}, Path("x.pt"))
    with pytest.raises(CheckpointError, match="has an unknown entry more"):
        fill(Net, {**state, "more": torch.ones(1)}, Path("x.pt"))
    with pytest.raises(CheckpointError, match=r"another shape for first\.bias: expected \[4\], got \[5\]"):
        fill(Net, {**state, "first.bias": torch.ones(5)}, Path("x.pt"))
    with pytest.raises(CheckpointError, match=r"another shape for first\.bias: expected \[4\], got str"):
        fill(Net, {**state, "first.bias": "four"}, Path("x.pt"))


def test_half_precision_is_widened():
    state = {key: value.half() if value.is_floating_point() else value for key, value in Net().state_dict().items()}
    assert {value.dtype for value in fill(Net, state, Path("x.pt")).parameters()} == {torch.float32}


def test_filling_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    fill(Net, Net.state_dict(fill(Net, _zeros(), Path("x.pt"))), Path("x.pt"))
    assert torch.equal(torch.random.get_rng_state(), before)


def _zeros():
    with torch.device("meta"):
        return {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in Net().state_dict().items()}
