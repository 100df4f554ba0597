"""Resampling along one axis: each result is a weighted sum of a few elements, chosen by a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import F32, I32, I64, Builder, Index, Ssa, Type, zero
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View

_TOGETHER = 4
"""Vectors, or twice as many elements, that share what is read from the table."""

_UNITS = 64
"""As many units as a kernel is cut into, at least, if there is so much to do."""

_UNROLLED = 8
"""Up to so many taps are written out one by one."""


@dataclass(frozen=True)
class _Dim:
    """One dimension of the operand and the result alike."""

    extent: int
    source: int
    result: int
    """Strides in elements."""

    def split(self, size: int) -> tuple[_Dim, _Dim]:
        """Pieces of a size that divides the extent, and what is in a piece."""
        return _Dim(self.extent // size, self.source * size, self.result * size), _Dim(size, self.source, self.result)


def resample(axis: int, result: View, operand: View, tables: Sequence[View], target: Target) -> Kernel:
    """``result[…, o, …] = Σ_t weights[o, t] * operand[…, indices[o, t], …]``; tables ``[count, taps]``, dense.

    Where neighbours lie next to each other in memory, vectors run along them; else a few rows at a time are computed
    element by element. Units are pieces of the axis, for each index of the dimensions that are not worked on at once.
    """
    count, taps = tables[0].shape
    outer, inner = _arrange(axis, result, operand)
    lanes = target.lanes(result.element.element_bytes) if inner.source == inner.result == 1 else 0
    if not lanes:
        pieces, inner = inner.split(max(n for n in range(1, 2 * _TOGETHER + 1) if inner.extent % n == 0))
        outer = [*outer, pieces]
    rows = math.prod(dim.extent for dim in outer)
    per_unit = -(-count // max(1, min(count, _UNITS // max(1, rows))))
    pieces_of_axis = -(-count // per_unit) if count else 0

    def unit(b: Builder, call: Call) -> None:
        into, source, indices, weights = call.operands
        number, first = b.div(call.unit, pieces_of_axis), b.mul(b.rem(call.unit, pieces_of_axis), per_unit)
        for dim in reversed(outer):
            place, number = b.rem(number, dim.extent), b.div(number, dim.extent)
            source = b.gep(source, b.mul(place, dim.source), operand.element)
            into = b.gep(into, b.mul(place, dim.result), result.element)

        def one(o: Index, _: list[Ssa]) -> None:
            row = b.mul(o, taps)
            table = _Table(b, b.gep(indices, row, I32), b.gep(weights, row, F32), taps, operand.strides[axis])
            _sums(b, table, source, b.gep(into, b.mul(o, result.strides[axis]), result.element), inner, result, lanes)

        b.loop(first, b.smaller(b.add(first, per_unit), count), 1, one)

    return define_kernel("resample", target, 4, rows * pieces_of_axis, 0, unit)


def apart(factors: Sequence[int], result: View, operand: View) -> tuple[View, View]:
    """The views of a repetition with a dimension of its own for the copies of each element: it may then be copied."""
    extents = [n for extent, factor in zip(operand.shape, factors, strict=True) for n in (extent, factor)]
    into = [n for stride, factor in zip(result.strides, factors, strict=True) for n in (stride * factor, stride)]
    source = [n for stride in operand.strides for n in (stride, 0)]
    return View(result.kind, tuple(extents), tuple(into)), View(operand.kind, tuple(extents), tuple(source))


def _arrange(axis: int, result: View, operand: View) -> tuple[list[_Dim], _Dim]:
    """All dimensions but ``axis``, merged where possible: those to walk over, and one to compute together."""
    dims: list[_Dim] = []
    for d, extent in enumerate(result.shape):
        dim = _Dim(extent, operand.strides[d], result.strides[d])
        if d == axis or extent == 1:
            continue
        if dims and (dims[-1].source, dims[-1].result) == (extent * dim.source, extent * dim.result):
            dim = _Dim(dims.pop().extent * extent, dim.source, dim.result)
        dims.append(dim)
    if not dims:
        return [], _Dim(1, 0, 0)
    inner = next((dim for dim in dims if dim.source == dim.result == 1), max(dims, key=lambda dim: dim.extent))
    dims.remove(inner)
    return dims, inner


@dataclass(frozen=True)
class _Table:
    """One row of the tables."""

    b: Builder
    indices: Ssa
    weights: Ssa
    taps: int
    stride: int

    def tap(self, t: Index, type: Type) -> tuple[Index, Ssa]:
        """How far the element is from the first one, and its weight, in every lane."""
        b = self.b
        number = b.cast("sext", b.load(b.gep(self.indices, t, I32), I32), I64)
        weight = b.cast("fpext", b.load(b.gep(self.weights, t, F32), F32), type.scalar)
        return b.mul(number, self.stride), b.splat(weight, type.lanes) if type.lanes else weight


def _sums(b: Builder, table: _Table, source: Ssa, into: Ssa, inner: _Dim, view: View, lanes: int) -> None:
    """The weighted sums for all elements of ``inner``."""
    element, width = view.element, lanes or 1
    type = element.vector(lanes)
    known = [table.tap(t, type) for t in range(table.taps)] if table.taps <= _UNROLLED else []

    def group(x: Index, vectors: int, exist: int) -> None:
        def add(sums: list[Ssa], offset: Index, weight: Ssa) -> list[Ssa]:
            row = b.gep(source, b.add(offset, b.mul(x, inner.source)), element)
            loaded = (load(b.gep(row, i * width * inner.source, element)) for i in range(vectors))
            return [b.fma(value, weight, total) for value, total in zip(loaded, sums, strict=True)]

        def load(pointer: Ssa) -> Ssa:
            return b.load_first(pointer, exist, type) if lanes else b.load(pointer, type)

        sums = [zero(type)] * vectors
        for offset, weight in known:
            sums = add(sums, offset, weight)
        if not known:
            sums = b.loop(0, table.taps, 1, lambda t, carried: add(carried, *table.tap(t, type)), sums)
        row = b.gep(into, b.mul(x, inner.result), element)
        for i, value in enumerate(sums):
            pointer = b.gep(row, i * width * inner.result, element)
            if lanes:
                b.store_first(value, pointer, exist)
            else:
                b.store(value, pointer)

    if not lanes:
        group(0, inner.extent, 1)
        return
    together, whole = _TOGETHER * lanes, inner.extent // lanes * lanes
    grouped = whole // together * together
    b.loop(0, grouped, together, lambda x, _: group(x, _TOGETHER, lanes))
    if whole > grouped:
        group(grouped, (whole - grouped) // lanes, lanes)
    if inner.extent > whole:
        group(whole, 1, inner.extent - whole)
