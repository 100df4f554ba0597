"""Gathering and scattering: elements are picked, or put, where numbers that are computed say.

A negative number counts from the end of its dimension. What is outside even so is moved to the nearest end, so that
no memory is touched but the operand's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import (
    BF16,
    F16,
    F32,
    I1,
    I8,
    I16,
    I32,
    I64,
    Builder,
    Index,
    Ssa,
    Type,
    index,
)
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.reduction import COMBINE
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.indexing import Gather, GatherND, ScatterND, Update
from glowpy_ir.ops.reduction import ReduceMax, ReduceMin, ReduceProd, ReduceSum, Reduction

_BITS = {1: I8, 2: I16, 4: I32, 8: I64}
"""What is moved as one element, by its bytes."""

_UPDATES: Mapping[Update, type[Reduction]] = {
    Update.ADD: ReduceSum,
    Update.MUL: ReduceProd,
    Update.MAX: ReduceMax,
    Update.MIN: ReduceMin,
}


@dataclass(frozen=True)
class _Dim:
    """A dimension that is walked: its strides in the tensor that is indexed, in the other one, and in the indices."""

    extent: int
    indexed: int
    other: int
    index: int

    @property
    def is_dense(self) -> bool:
        """Whether vectors may lie along it."""
        return (self.indexed, self.other, self.index) == (1, 1, 0)


@dataclass(frozen=True)
class _Plan:
    """How the elements of two tensors belong together.

    ``targets`` are the (extent, stride) of the dimensions that an index tuple leads to; its parts are ``part`` apart.
    """

    outer: tuple[_Dim, ...]
    inner: _Dim
    targets: tuple[tuple[int, int], ...]
    part: int
    indices: Type

    @classmethod
    def of(cls, dims: Sequence[_Dim], targets: Sequence[tuple[int, int]], part: int, indices: Type) -> _Plan:
        merged: list[_Dim] = []
        for dim in dims:
            if dim.extent == 1:
                continue
            if merged:
                last = merged[-1]
                steps = (dim.extent * dim.indexed, dim.extent * dim.other, dim.extent * dim.index)
                if (last.indexed, last.other, last.index) == steps:
                    dim = _Dim(merged.pop().extent * dim.extent, dim.indexed, dim.other, dim.index)
            merged.append(dim)
        inner = next((dim for dim in merged if dim.is_dense), merged[-1] if merged else _Dim(1, 0, 0, 0))
        return cls(tuple(dim for dim in merged if dim is not inner), inner, tuple(targets), part, indices)

    def offset(self, b: Builder, tuple_at: Ssa) -> Index:
        """How far the index tuple at an address leads."""
        total: Index = 0
        for number, (extent, stride) in enumerate(self.targets):
            given = b.load(b.gep(tuple_at, number * self.part, self.indices), self.indices)
            place = b.cast("sext", given, I64)
            from_end = b.op("add", place, index(extent))
            place = b.select(b.compare("slt", place, index(0)), from_end, place)
            place = b.intrinsic("smax", b.intrinsic("smin", place, index(extent - 1)), index(0))
            total = b.add(total, b.mul(place, stride))
        return total


@dataclass(frozen=True)
class _At:
    """Addresses in the tensor that is indexed, in the other one, and in the indices."""

    indexed: Ssa
    other: Ssa
    numbers: Ssa

    def moved(self, b: Builder, plan: _Plan, element: Type, dim: _Dim, place: Index) -> _At:
        """The same at another place of a dimension."""
        return _At(
            b.gep(self.indexed, b.mul(place, dim.indexed), element),
            b.gep(self.other, b.mul(place, dim.other), element),
            b.gep(self.numbers, b.mul(place, dim.index), plan.indices),
        )


Act = Callable[[Ssa, Ssa, Type, int], None]
"""Does something with the first lanes (or the one element) at an address of the indexed tensor and of the other one."""


def _line(b: Builder, plan: _Plan, at: _At, element: Type, lanes: int, act: Act) -> None:
    """All elements along the inner dimension."""
    if plan.inner.index:

        def own_tuple(x: Index, _: list[Ssa]) -> None:
            here = at.moved(b, plan, element, plan.inner, x)
            act(b.gep(here.indexed, plan.offset(b, here.numbers), element), here.other, element, 1)

        b.loop(0, plan.inner.extent, 1, own_tuple)
        return
    at = _At(b.gep(at.indexed, plan.offset(b, at.numbers), element), at.other, at.numbers)
    type, step = (element.vector(lanes), lanes) if plan.inner.is_dense else (element, 1)

    def vector(x: Index, count: int) -> None:
        here = at.moved(b, plan, element, plan.inner, x)
        act(here.indexed, here.other, type, count)

    whole = plan.inner.extent // step * step
    b.loop(0, whole, step, lambda x, _: vector(x, step))
    if whole < plan.inner.extent:
        vector(whole, plan.inner.extent - whole)


def gather(op: Gather | GatherND, result: View, operand: View, indices: View, target: Target) -> Kernel:
    """``result`` is what stands in ``operand`` where ``indices`` say; units are the lines that are copied."""
    plan = _gather_plan(op, result, operand, indices)
    element = _BITS[operand.element.element_bytes]

    def copied(b: Builder) -> Act:
        def act(source: Ssa, into: Ssa, type: Type, count: int) -> None:
            _store(b, _load(b, source, type, count), into, count)

        return act

    def unit(b: Builder, call: Call) -> None:
        into, source, numbers = call.operands
        at, number = _At(source, into, numbers), call.unit
        for dim in reversed(plan.outer):
            at, number = at.moved(b, plan, element, dim, b.rem(number, dim.extent)), b.div(number, dim.extent)
        _line(b, plan, at, element, target.lanes(element.element_bytes), copied(b))

    units = math.prod(dim.extent for dim in plan.outer) if result.shape.count(0) == 0 else 0
    return define_kernel("gather", target, 3, units, 0, unit)


def _gather_plan(op: Gather | GatherND, result: View, operand: View, indices: View) -> _Plan:
    if isinstance(op, Gather):
        before, rank, depth, shared = op.axis, len(indices.shape), 1, 0
    else:
        before = shared = op.batch
        rank, depth = len(indices.shape) - 1 - op.batch, indices.shape[-1]
    dims: list[_Dim] = []
    for d, extent in enumerate(result.shape):
        if d < before:
            dims.append(_Dim(extent, operand.strides[d], result.strides[d], indices.strides[d] if d < shared else 0))
        elif d < before + rank:
            dims.append(_Dim(extent, 0, result.strides[d], indices.strides[d - before + shared]))
        else:
            dims.append(_Dim(extent, operand.strides[d - rank + depth], result.strides[d], 0))
    targets = [(operand.shape[d], operand.strides[d]) for d in range(before, before + depth)]
    part = indices.strides[-1] if isinstance(op, GatherND) else 0
    return _Plan.of(dims, targets, part, indices.element)


def scatter(
    op: ScatterND, result: View, operand: View, indices: View, updates: View, target: Target
) -> Kernel:
    """``result`` is ``operand`` with ``updates`` where ``indices`` say, one after the other: there is one unit.

    The result may be the very memory of the operand, at equal strides.
    """
    depth, rank = indices.shape[-1], len(indices.shape) - 1
    lines = [_Dim(*entry, 0) for entry in zip(result.shape, result.strides, operand.strides, strict=True)]
    whole = _Plan.of(lines, (), 0, indices.element)
    dims = [
        _Dim(extent, 0, updates.strides[d], indices.strides[d])
        if d < rank
        else _Dim(extent, result.strides[d - rank + depth], updates.strides[d], 0)
        for d, extent in enumerate(updates.shape)
    ]
    targets = list(zip(result.shape[:depth], result.strides[:depth], strict=True))
    plan = _Plan.of(dims, targets, indices.strides[-1], indices.element)
    replaces = op.update is Update.REPLACE
    element = _BITS[result.element.element_bytes] if replaces else result.element
    lanes = target.lanes(element.element_bytes)

    def unit(b: Builder, call: Call) -> None:
        into, source, numbers, changes = call.operands

        def copied(to: Ssa, origin: Ssa, type: Type, count: int) -> None:
            _store(b, _load(b, origin, type, count), to, count)

        def combined(to: Ssa, change: Ssa, type: Type, count: int) -> None:
            wide = F32 if element in (F16, BF16) else element
            old, new = (widen(b, _load(b, place, type, count), wide) for place in (to, change))
            total = COMBINE[_UPDATES[op.update]](result.kind)(b, old, new)
            _store(b, narrow(b, total, element), to, count)

        is_apart = b.value(f"icmp ne ptr {into.name}, {source.name}", I1)
        b.branch(is_apart, lambda: _each(b, whole, _At(into, source, numbers), element, lanes, copied))
        _each(b, plan, _At(into, changes, numbers), element, lanes, copied if replaces else combined)

    return define_kernel("scatter", target, 4, 1, 0, unit)


def _each(b: Builder, plan: _Plan, at: _At, element: Type, lanes: int, act: Act) -> None:
    """All elements, in the order in which the index tuples stand."""

    def walk(at: _At, outer: Sequence[_Dim]) -> None:
        if not outer:
            _line(b, plan, at, element, lanes, act)
            return
        first, *others = outer
        b.loop(0, first.extent, 1, lambda i, _: walk(at.moved(b, plan, element, first, i), others))

    walk(at, plan.outer)


def _load(b: Builder, pointer: Ssa, type: Type, count: int) -> Ssa:
    return b.load_first(pointer, count, type) if type.lanes else b.load(pointer, type)


def _store(b: Builder, value: Ssa, pointer: Ssa, count: int) -> None:
    if value.type.lanes:
        b.store_first(value, pointer, count)
    else:
        b.store(value, pointer)
