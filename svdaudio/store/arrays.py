"""Store arrays in a zarr v3 group: one chunk per array, zstd with a checksum.

With zarr's defaults a missing chunk reads as zeros and a flipped bit reads as data. So empty chunks are also
written, every frame carries a checksum, and callers compare digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.process_state import import_quietly

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from zarr.storage import MemoryStore

ZSTD_LEVEL = 3


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` as a new zarr group at `folder`. Zero-size and 0-d arrays are allowed."""
    _write(str(folder), arrays)


def read_arrays(folder: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of the zarr group at `folder`.

    Raises:
        KeyError, OSError, RuntimeError, ValueError: as zarr and its codecs raise them for missing or damaged files.
    """
    return _read(str(folder), names)


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """The files of a zarr group that holds `arrays`: path in the group → content."""
    import_quietly("zarr")
    from zarr.storage import MemoryStore

    store = MemoryStore()
    _write(store, arrays)
    return {path: buffer.to_bytes() for path, buffer in store._store_dict.items()}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - zarr has no public accessor


def arrays_from_bytes(contents: Mapping[str, bytes], names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of a zarr group from its files.

    Args:
        contents: path in the group → content, for at least `array_paths` of the arrays.
        names: names of the arrays.

    Raises:
        KeyError, OSError, RuntimeError, ValueError: as `read_arrays`.
    """
    import_quietly("zarr")
    from zarr.core.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    return _read(MemoryStore({path: Buffer.from_bytes(content) for path, content in contents.items()}), names)


def array_paths(n_dims: Mapping[str, int]) -> list[str]:
    """Paths of the files of arrays in their group: its metadata, and for each array its metadata and a chunk.

    Args:
        n_dims: name of the array → number of its dimensions.
    """
    chunks = [f"{name}/{'/'.join(['c', *'0' * n])}" for name, n in n_dims.items()]
    return ["zarr.json", *(f"{name}/zarr.json" for name in n_dims), *chunks]


def _write(place: str | MemoryStore, arrays: Mapping[str, NDArray[Any]]) -> None:
    import_quietly("zarr")
    import zarr
    from zarr.codecs import ZstdCodec

    group = zarr.create_group(store=place, zarr_format=3)
    for name, array in arrays.items():
        stored = group.create_array(
            name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=tuple(max(1, size) for size in array.shape),
            compressors=[ZstdCodec(level=ZSTD_LEVEL, checksum=True)],
            config={"write_empty_chunks": True},
        )
        if array.size:
            stored[...] = array


def _read(place: str | MemoryStore, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    import numpy as np

    import_quietly("zarr")
    import zarr

    group = zarr.open_group(store=place, mode="r", zarr_format=3)
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        stored = group[name]
        if not isinstance(stored, zarr.Array):
            raise ValueError(f"'{name}' is not an array")  # noqa: TRY004 - damage, not a wrong argument
        arrays[name] = np.asarray(stored[...])
    return arrays
