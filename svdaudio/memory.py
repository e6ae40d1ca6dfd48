"""Tune how glibc handles freed memory, which by default is returned to the system and mapped again page by page.

A network on the CPU frees and reallocates its activations at every layer. With glibc's defaults each of them is mapped,
faulted in and zeroed again, thousands of times per step. Keeping the memory avoids that (`bench/memory.py`).
"""

from __future__ import annotations

import contextlib

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
MIB = 2**20
KEPT_MIB = 512


def keep_freed_memory() -> None:
    """Let this process keep up to 512 MiB of freed memory. Does nothing without glibc.

    Source: mallopt(3). Blocks of 32 MiB and more (weights) are still returned immediately.
    """
    import ctypes  # not needed by processes that only plan

    with contextlib.suppress(OSError, AttributeError):  # no C library, or not glibc
        mallopt = ctypes.CDLL(None).mallopt
        for option, n_bytes in (
            (M_MMAP_THRESHOLD, 32 * MIB), (M_TRIM_THRESHOLD, KEPT_MIB * MIB), (M_TOP_PAD, 64 * MIB),
        ):  # fmt: skip
            mallopt(option, n_bytes)
