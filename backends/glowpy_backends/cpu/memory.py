"""Memory for native code: aligned, and mapped from files."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np

from glowpy_ir.types import Array

ALIGNMENT = 64
"""Bytes; the widest vector."""

HUGE_PAGE = 2 << 20
"""Bytes; blocks of several are asked to lie in huge pages, which spares the address translation."""

SLACK = 4096
"""Bytes behind a block that may be read: kernels fetch ahead."""


_DATA = object.__basicsize__
"""Where an array's structure holds the address of its elements: behind what all objects have (NumPy's C API)."""


def address_of(array: Array) -> int:
    """Where the elements lie; ``array.ctypes.data`` says the same, but takes microseconds."""
    return ctypes.c_size_t.from_address(id(array) + _DATA).value


def aligned(size: int) -> Array:
    """``size`` zeroed bytes."""
    if size < 4 * HUGE_PAGE:
        raw = np.zeros(size + ALIGNMENT + SLACK, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + size]
    # Private, as Linux gives shared memory no huge pages unless it is told to.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    block = mmap.mmap(-1, size + HUGE_PAGE + SLACK, **private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(block, np.uint8)
    start = -raw.ctypes.data % HUGE_PAGE
    return raw[start : start + size]


def map_file(path: Path, size: int) -> Array:
    """A file of ``size`` bytes, read where it lies. ValueError if it has another size."""
    if path.stat().st_size != size:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {size}")
    if size == 0:
        return aligned(0)
    return np.memmap(path, np.uint8, "r")
