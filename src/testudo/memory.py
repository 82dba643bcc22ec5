"""What the C library does with memory that is given back: kept here for the next batch."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

TRIM, LARGE = -1, -3  # of glibc's malloc.h: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
KEPT, IN_THE_HEAP = 1 << 30, 1 << 25  # bytes: free memory kept before any goes back; the most that glibc allows


@cache
def keep_memory() -> bool:
    """Let this process reuse the memory of a batch for the next one; whether that could be had.

    By default glibc hands every large block back to the system as soon as it is free, and the next batch pays for
    each of its pages again: a fifth of the time of a training step on a CPU (``benchmarks/results.md``). From here on
    up to 1 GiB of free memory stays with the process. No number changes. Where the environment says how it wants
    this (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``) or the C library is another one, nothing is done.
    """
    if platform.libc_ver()[0] != "glibc" or {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & set(os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(TRIM, KEPT) and mallopt(LARGE, IN_THE_HEAP))


def give_back() -> None:
    """Return what is free to the system: for pauses between long stretches of work, an epoch's end, say.

    What :func:`keep_memory` keeps is in blocks of the sizes that were asked for, and grows a little as those change;
    this ends that growth for next to nothing.
    """
    if keep_memory():
        ctypes.CDLL(None).malloc_trim(0)
