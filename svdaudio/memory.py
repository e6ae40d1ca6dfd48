"""What glibc does with memory that is freed: by default it goes back to the system, and comes again page by page.

A network on the CPU frees and takes its activations anew at every layer. With glibc's defaults each of them is mapped,
faulted in and zeroed again, thousands of times a step. Kept, they are ready (`bench/memory.py`).
"""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
MIB = 2**20
KEPT_MIB = 512


def keep_freed_memory() -> None:
    """Let this process keep up to 512 MiB of what it frees. Without glibc nothing is changed.

    Source: mallopt(3). Blocks of 32 MiB and more (weights) still go back at once.
    """
    with contextlib.suppress(OSError, AttributeError):  # no C library to ask, or one that is not glibc's
        mallopt = ctypes.CDLL(None).mallopt
        for option, n_bytes in (
            (M_MMAP_THRESHOLD, 32 * MIB), (M_TRIM_THRESHOLD, KEPT_MIB * MIB), (M_TOP_PAD, 64 * MIB),
        ):  # fmt: skip
            mallopt(option, n_bytes)
