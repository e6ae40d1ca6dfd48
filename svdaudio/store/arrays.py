"""Arrays on disk: one zarr v3 group, one chunk an array, zstd with a checksum.

With zarr's defaults a missing chunk reads as zeros, and a flipped bit reads as data; so empty chunks are written
too, every frame carries a checksum, and the caller compares digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

ZSTD_LEVEL = 3


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` as a new zarr group at `folder`. Zero-size and 0-d arrays are as good as any."""
    import zarr
    from zarr.codecs import ZstdCodec

    group = zarr.create_group(store=str(folder), zarr_format=3)
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


def read_arrays(folder: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of the zarr group at `folder`.

    Raises:
        KeyError, OSError, RuntimeError, ValueError: whatever zarr and its codecs raise on missing or damaged files.
    """
    import numpy as np
    import zarr

    group = zarr.open_group(store=str(folder), mode="r", zarr_format=3)
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        stored = group[name]
        if not isinstance(stored, zarr.Array):
            raise ValueError(f"'{name}' is no array")  # noqa: TRY004 - damage, not a wrong argument
        arrays[name] = np.asarray(stored[...])
    return arrays
