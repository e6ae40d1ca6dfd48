"""Reading pickles without running them, and filling networks strictly."""

from __future__ import annotations

import collections
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from svdaudio.errors import CheckpointError
from svdaudio.weights.reading import Shell, fill, read_inert, read_plain, read_torchscript, shell_state


class Bomb:
    """Creates a file when it is unpickled by pickle itself."""

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
def test_reading_a_file_runs_no_code(tmp_path, old_format):
    path, trace = tmp_path / "x.pt", tmp_path / "trace"
    torch.save({"bomb": Bomb(trace), "weight": torch.ones(2)}, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(CheckpointError, match="cannot be read: expected a PyTorch file of plain tensors"):
        read_plain(path)
    contents = read_inert(path)
    assert isinstance(contents["bomb"], Shell)
    assert torch.equal(contents["weight"], torch.ones(2))
    assert not trace.exists()
    torch.load(path, weights_only=False)  # what running the code would do
    assert trace.exists()


def test_an_old_stream_writes_no_patch_files(tmp_path, monkeypatch):
    """`torch.load` writes NAME.patch if the source of a class differs; the file controls its name and text."""
    monkeypatch.chdir(tmp_path)

    class Pickler(pickle.Pickler):
        named = False

        def persistent_id(self, obj):
            if obj is not Net or self.named:
                return None
            self.named = True
            return ("module", obj, "source.py", "another source")

    with (tmp_path / "x.pt").open("wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(value, file, protocol=2)
        Pickler(file, protocol=2).dump({"kind": Net})
        pickle.dump([], file, protocol=2)
    assert issubclass(read_inert(tmp_path / "x.pt")["kind"], Shell)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_a_pipe_in_a_tar_file_does_not_block(tmp_path):
    path = tmp_path / "x.pt"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.FIFOTYPE
            archive.addfile(member)
    for read in (read_plain, read_inert):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(path)


@pytest.mark.parametrize("old_format", [False, True])
def test_tensors_that_share_a_storage(tmp_path, old_format):
    whole = torch.arange(24.0).reshape(4, 6)
    given = {
        "whole": whole,
        "turned": whole.t(),
        "part": whole[1:3, ::2],
        "none": torch.empty(0),
        "one": torch.tensor(7),
    }
    torch.save(given, tmp_path / "x.pt", _use_new_zipfile_serialization=not old_format)
    found = read_inert(tmp_path / "x.pt")
    assert list(found) == list(given)
    for name, value in given.items():
        assert torch.equal(found[name], value)
        assert found[name].stride() == value.stride()
    assert found["part"].untyped_storage().data_ptr() == found["whole"].untyped_storage().data_ptr()


def archive_of(path: Path, pickled: bytes, **records: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        for name, data in records.items():
            archive.writestr(f"x/{name.replace('_', '/')}", data)
    return path


def tensor_pickle(*, n_values: int, size: int) -> bytes:
    """A pickle of {"a": tensor}, whose storage claims `n_values` floats, and the tensor `size` of them."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ"
    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n("
        + storage + n_values.to_bytes(4, "little") + b"tQK\x00(J" + size.to_bytes(4, "little")
        + b"t(K\x01t\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


def test_a_tensor_cannot_exceed_its_record(tmp_path):
    data = torch.tensor([1.5, 2.5]).numpy().tobytes()
    path = archive_of(tmp_path / "x.pt", tensor_pickle(n_values=2, size=2), data_0=data)
    assert read_inert(path)["a"].tolist() == [1.5, 2.5]
    for n_values, size in ((3, 2), (2, 3), (2**31 - 1, 1)):
        archive_of(path, tensor_pickle(n_values=n_values, size=size), data_0=data)
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_inert(path)


HOLDS_ITSELF = b"\x80\x02c__torch__\nM\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb."
DOUBLES = b"".join(
    b"c__torch__\nM\n)\x81q%c}(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cub" % (level, level - 1, level - 1)
    for level in range(1, 60)
)


@pytest.mark.parametrize("pickled", [HOLDS_ITSELF, b"\x80\x02c__torch__\nM\n)\x81q\x00" + DOUBLES + b"."])
def test_modules_that_contain_each_other_are_refused(tmp_path, pickled):
    path = archive_of(tmp_path / "x.pt", pickled, **{"constants.pkl": b""})
    with pytest.raises(CheckpointError, match="its modules contain one another"):
        read_torchscript(path)


def test_a_high_memo_index_of_a_pickle_takes_no_memory(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_inert(tmp_path / "x.pt")


@pytest.mark.parametrize("named", [b"torch._utils\n_rebuild_tensor_v2", b"torch\nFloatStorage", b"torch\nSize"])
def test_a_pickle_cannot_modify_objects_that_it_names(tmp_path, named):
    """BUILD with a pair sets attributes, here of a named object; reading the next file must not be affected."""
    bad = archive_of(tmp_path / "bad.pt", b"\x80\x02c%s\nN}X\x05\x00\x00\x00dtypeNs\x86b." % named)
    with pytest.raises(CheckpointError):
        read_inert(bad)
    good = archive_of(tmp_path / "x.pt", tensor_pickle(n_values=1, size=1), data_0=bytes(4))
    assert read_inert(good)["a"].tolist() == [0.0]
    for name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
        assert not hasattr(getattr(torch._utils, name), "dtype")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_pickled_network_yields_its_state_and_attributes(tmp_path, dtype):
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
def test_other_files_are_refused(tmp_path, read):
    path = tmp_path / "x.pt"
    with pytest.raises(CheckpointError, match="file not found:"):
        read(path)
    for content in (b"", b"<html>sign in</html>", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="of the wrong kind: expected a dict"):
        read(path)


@pytest.mark.parametrize("read", [read_plain, read_inert])
def test_a_truncated_file_is_refused(tmp_path, read):
    path = tmp_path / "x.pt"
    torch.save({"weight": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(path)


def test_filling_is_strict_and_uses_the_tensors_without_copying():
    state = {key: value.clone() for key, value in Net().state_dict().items()}
    net = fill(Net, state, Path("x.pt"))
    assert net.first.weight.data_ptr() == state["first.weight"].data_ptr()
    assert not net.training
    assert torch.equal(net.unsaved, torch.ones(2))
    with pytest.raises(CheckpointError, match=r"lacks entry first\.bias and 1 more"):
        fill(Net, {key: state[key] for key in state if key not in {"first.bias", "norm.bias"}}, Path("x.pt"))
    with pytest.raises(CheckpointError, match="has an unknown entry more"):
        fill(Net, {**state, "more": torch.ones(1)}, Path("x.pt"))
    with pytest.raises(CheckpointError, match=r"wrong shape for first\.bias: expected \[4\], got \[5\]"):
        fill(Net, {**state, "first.bias": torch.ones(5)}, Path("x.pt"))
    with pytest.raises(CheckpointError, match=r"wrong shape for first\.bias: expected \[4\], got str"):
        fill(Net, {**state, "first.bias": "four"}, Path("x.pt"))
    for odd in (torch.ones(4, dtype=torch.int64), torch.ones(4, dtype=torch.complex64), torch.ones(4, device="meta"),
                torch.ones(4).to_sparse()):  # fmt: skip
        with pytest.raises(
            CheckpointError, match=r"an unsupported tensor for first\.bias: expected a plain tensor of torch"
        ):
            fill(Net, {**state, "first.bias": odd}, Path("x.pt"))


def test_half_precision_is_converted_to_float32():
    state = {key: value.half() if value.is_floating_point() else value for key, value in Net().state_dict().items()}
    assert {value.dtype for value in fill(Net, state, Path("x.pt")).parameters()} == {torch.float32}


def test_filling_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    fill(Net, Net.state_dict(fill(Net, _zeros(), Path("x.pt"))), Path("x.pt"))
    assert torch.equal(torch.random.get_rng_state(), before)


def _zeros():
    with torch.device("meta"):
        shapes = Net().state_dict()
    return {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in shapes.items()}
