"""Runs single kernels for the tests of the CPU backend."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glowpy_backends.cpu.emit import emit_object
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.link import link
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.types import Kind

Array = NDArray[Any]

TARGETS = [t for t in map(Target.named, ("avx512", "avx2", "sse2")) if t.runs_here]
"""One target for each vector width that this machine can run."""

WIDTHS = [f"{target.vector_bits}-bit" for target in TARGETS]


def aligned(count: int, kind: Kind = Kind.F32, fill: float = 0) -> Array:
    """A flat array that begins at a multiple of 64 bytes."""
    raw = np.zeros(count * kind.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    array: Array = raw[start : start + count * kind.nbytes].view(kind.dtype)
    array[:] = fill
    return array


class Operand:
    """A tensor in memory, inside a margin along each dimension that holds ``fill``."""

    def __init__(self, array: Array, margins: Sequence[tuple[int, int]] | None = None, fill: float = 0) -> None:
        margins = margins or [(0, 0)] * array.ndim
        shape = [before + extent + after for (before, after), extent in zip(margins, array.shape, strict=True)]
        kind = next(kind for kind in Kind if kind.dtype == array.dtype)
        self.memory = aligned(int(np.prod(shape)), kind, fill).reshape(shape)
        self._inside = (
            *(slice(before, before + extent) for (before, _), extent in zip(margins, array.shape, strict=True)),
            ...,
        )
        self.array[...] = array
        self.view = View(kind, array.shape, View.dense(kind, shape).strides)

    @property
    def array(self) -> Array:
        """The elements without the margin."""
        inside: Array = self.memory[self._inside]
        return inside

    @property
    def pointer(self) -> int:
        """The address of the first element."""
        return int(self.array.ctypes.data)

    def broadcast(self, shape: Sequence[int]) -> View:
        """The view that repeats this tensor to ``shape``."""
        strides = np.broadcast_to(self.array, shape).strides
        return View(self.view.kind, tuple(shape), tuple(s // self.view.kind.nbytes for s in strides))

    def margin_is(self, fill: float) -> bool:
        """Whether nothing was written outside the tensor."""
        outside = self.memory.copy()
        outside[self._inside] = fill
        return bool(np.all((outside == fill) | (np.isnan(outside) & np.isnan(fill))))


def run(kernel: Kernel, target: Target, operands: Sequence[Operand | Array], calls: int = 1) -> None:
    """Calls the kernel ``calls`` times, each with an equal part of its units, in reverse order."""
    library = link([emit_object(kernel.ir, target)], [kernel.symbol])
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(operands) + 1), ctypes.c_int64, ctypes.c_int64)
    function = prototype(library.address(kernel.symbol))
    scratch = aligned(kernel.scratch_bytes // 4 + 16, fill=np.nan)
    pointers = [o.pointer if isinstance(o, Operand) else o.ctypes.data for o in operands]
    cuts = [kernel.units * i // calls for i in range(calls + 1)]
    for begin, end in reversed(list(pairwise(cuts))):
        function(*pointers, scratch.ctypes.data, begin, end)


def block_channels(array: Array, lanes: int, fill: float = 0) -> Array:
    """``[N, C, ...]`` as ``[N, C/lanes, ..., lanes]``; channels that do not exist get ``fill``."""
    images, channels, *rest = array.shape
    blocks = -(-channels // lanes)
    padded = np.full((images, blocks * lanes, *rest), fill, array.dtype)
    padded[:, :channels] = array
    return np.moveaxis(padded.reshape(images, blocks, lanes, *rest), 2, -1)


def unblock_channels(array: Array, channels: int) -> Array:
    """The inverse of :func:`block_channels`."""
    moved = np.moveaxis(array, -1, 2)
    return moved.reshape(moved.shape[0], -1, *moved.shape[3:])[:, :channels]
