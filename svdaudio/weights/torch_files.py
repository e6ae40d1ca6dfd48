"""torch's files, TorchScript's archives included, read without `torch.load`: no code in them is imported or executed.

Since 2020 torch writes zip archives: a pickle, `data.pkl`, which names the storages of tensors by number, and each
storage as a record of raw bytes. Before that it wrote a stream: three pickles that describe the format, one with the
object, one with the names of the storages, and then the storages. `read_torch_file` takes either, and a caller's
unpickler decides what the names in the pickles mean.

`torch.load` cannot be used for untrusted files, whatever unpickler it is given: it passes TorchScript archives to
`torch.jit.load`, which runs the `__setstate__` methods in them; it unpacks tar files; and for an old stream it
may write `NAME.patch` files, with a name and contents from the file.
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import torch
from torch import UntypedStorage
from torch.storage import TypedStorage

MAGIC = b"PK\x03\x04"
"""The first bytes of an archive."""
MAX_PICKLE_BYTES = 2**28
"""The pickles of published checkpoints are smaller than one megabyte."""

_LOCAL_HEADER_BYTES = 30
_BYTE_ORDERS = {b"little": "little", b"big": "big"}
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_VERSION = 1001


UnpicklerType: TypeAlias = "Callable[[BinaryIO], Any]"
"""Creates an unpickler for a file: an object with `load` and a settable `persistent_load`."""


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, by its first bytes, as torch decides it."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not is_archive(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def read_torch_file(path: Path, unpickler: UnpicklerType) -> object:
    """Content of a torch file. Tensors of an archive are mapped into memory, those of a stream are read.

    Args:
        path: the file.
        unpickler: reads one pickle from a file. It resolves the names in the pickle; the type of a storage must have a
            `dtype`. Its `persistent_load` is set here.

    Raises:
        Exception: damage may cause any error; the caller translates it.
    """
    return _read_archive(path, unpickler) if is_archive(path) else _read_stream(path, unpickler)


def _read_archive(path: Path, unpickler: UnpicklerType) -> object:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        records = {record.filename: record for record in archive.infolist()}
        # All records are in one folder with an arbitrary name.
        root = next(iter(records), "").split("/")[0]
        if f"{root}/data.pkl" not in records:
            raise pickle.UnpicklingError("the archive has no data.pkl")
        if f"{root}/byteorder" in records:
            order = archive.read(f"{root}/byteorder")
            if _BYTE_ORDERS.get(order) != sys.byteorder:
                raise pickle.UnpicklingError(f"the byte order of the archive is {order[:10]!r}")
        pickled = records[f"{root}/data.pkl"]
        if pickled.file_size > MAX_PICKLE_BYTES:
            raise pickle.UnpicklingError(f"data.pkl has {pickled.file_size} bytes")
        reader = unpickler(BytesIO(archive.read(pickled)))
        reader.persistent_load = _Records(path, file, records, f"{root}/data/").storage
        return reader.load()


class _Records:
    """The storages of an archive, each one a view of the mapped file."""

    def __init__(self, path: Path, file: BinaryIO, records: dict[str, zipfile.ZipInfo], folder: str) -> None:
        self._whole = UntypedStorage.from_file(str(path), shared=False, nbytes=path.stat().st_size)
        self._file, self._records, self._folder = file, records, folder
        self._mapped: dict[str, UntypedStorage] = {}

    def storage(self, given: Any, /) -> TypedStorage:
        """The storage that a pickle names as ("storage", type, number, device, count)."""
        kind, of_type, number, _, n_values = given
        dtype = _dtype(kind, of_type, n_values)
        if number not in self._mapped:
            self._mapped[number] = self._map(self._records[self._folder + number])
        data = self._mapped[number]
        if n_values * dtype.itemsize > data.nbytes():
            raise pickle.UnpicklingError(f"storage {number} has only {data.nbytes()} bytes")
        return TypedStorage(wrap_storage=data, dtype=dtype, _internal=True)

    def _map(self, record: zipfile.ZipInfo) -> UntypedStorage:
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise pickle.UnpicklingError(f"the record {record.filename} is compressed")
        self._file.seek(record.header_offset)
        header = self._file.read(_LOCAL_HEADER_BYTES)
        if not header.startswith(MAGIC):
            raise pickle.UnpicklingError(f"the record {record.filename} has no header")
        # The padding after the name is in this header only, not in the archive's directory.
        after = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        begin = record.header_offset + _LOCAL_HEADER_BYTES + after
        if begin + record.file_size > self._whole.nbytes():
            raise pickle.UnpicklingError(f"the record {record.filename} is cut short")
        return cast("UntypedStorage", self._whole[begin : begin + record.file_size])


def _read_stream(path: Path, unpickler: UnpicklerType) -> object:
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        if unpickler(file).load() != _STREAM_MAGIC or unpickler(file).load() != _STREAM_VERSION:
            raise pickle.UnpicklingError("the file does not start with torch's values")
        described = unpickler(file).load()
        if described["little_endian"] != (sys.byteorder == "little"):
            raise pickle.UnpicklingError("the byte order differs from this machine's")
        storages: dict[str, tuple[UntypedStorage, torch.dtype]] = {}

        def named(given: Any, /) -> Any:
            """A class, or the storage that a pickle names as ("storage", type, name, device, count, view)."""
            if given[0] == "module":
                return given[1]
            kind, of_type, name, _, n_values, view = given
            dtype = _dtype(kind, of_type, n_values)
            if n_values * dtype.itemsize > n_bytes:
                raise pickle.UnpicklingError(f"storage {name} has more bytes than the file")
            data, dtype = storages.setdefault(name, (UntypedStorage(n_values * dtype.itemsize), dtype))
            if view is not None:
                _, begin, n_values = view
                data = cast("UntypedStorage", data[begin * dtype.itemsize : (begin + n_values) * dtype.itemsize])
            return TypedStorage(wrap_storage=data, dtype=dtype, _internal=True)

        reader = unpickler(file)
        reader.persistent_load = named
        contents = reader.load()
        for name in unpickler(file).load():
            _fill(file, *storages[name])
        return contents


def _fill(file: BinaryIO, data: UntypedStorage, dtype: torch.dtype) -> None:
    """Read a storage of a stream: the count of its values, then their bytes."""
    n_values = int.from_bytes(file.read(8), "little")
    target: Any = torch.empty(0, dtype=torch.uint8)
    into = target.set_(data).numpy()
    if n_values * dtype.itemsize != data.nbytes() or cast("Any", file).readinto(into) != data.nbytes():
        raise pickle.UnpicklingError("a storage is cut short")


def _dtype(kind: object, of_type: Any, n_values: object) -> torch.dtype:
    """The dtype of a storage, if the pickle describes the storage validly."""
    dtype: object = of_type.dtype
    if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(n_values, int) or n_values < 0:
        raise pickle.UnpicklingError("the pickle refers to something other than a storage")
    return dtype
