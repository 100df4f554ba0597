"""Element-wise kernels: a body of scalar operations on vectors, over operands that lie anyhow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.body import Body
from glowpy_backends.cpu.builder import Builder, Index, Ssa
from glowpy_backends.cpu.epilogue import load_vector
from glowpy_backends.cpu.halves import as_bits
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View

_UNIT = 8192
"""Elements that are worth a unit of their own."""

_UNITS = 64
"""As many units as a kernel is cut into, at most."""

_VECTORS = 4
"""Vectors in flight: enough to hide the latency of arithmetic."""


def stack(result: View, operands: Sequence[View], body: Body, target: Target) -> Kernel:
    """``result[i] = body(operands[i], …)`` for every index of the result; operands are broadcast to its shape.

    An operand may be the very memory of the result, at equal strides.
    """
    lanes = target.lanes(max(body.widest, *(view.element.element_bytes for view in (result, *operands))))
    views = _cut(_collapse(_inner_last([result, *operands])), lanes)
    *outer, height, width = views[0].shape
    planes = math.prod(outer)
    per_unit = max(1, -(-planes // _UNITS), _UNIT // max(height * width, 1))
    units = max(1, -(-planes // per_unit))

    def unit(b: Builder, call: Call) -> None:
        first = b.mul(call.unit, per_unit)
        last: Index = b.smaller(b.add(first, per_unit), planes)

        def plane(index: Index, _: list[Ssa]) -> None:
            pointers = [
                b.gep(pointer, _offset(b, index, outer, view.strides), view.element)
                for pointer, view in zip(call.operands, views, strict=True)
            ]
            _Plane(b, views, pointers, lanes, body).compute()

        if planes and height and width:
            b.loop(first, last, 1, plane)

    return define_kernel("elementwise", target, 1 + len(operands), units, 0, unit)


def _inner_last(views: Sequence[View]) -> list[View]:
    """The views with the dimension last along which the result is contiguous."""
    result = views[0]
    inner = [d for d, (n, s) in enumerate(zip(result.shape, result.strides, strict=True)) if s == 1 and n > 1]
    rank = len(result.shape)
    order = [d for d in range(rank) if d not in inner[-1:]] + inner[-1:]
    return [
        View(v.kind, tuple(v.shape[d] for d in order), tuple(v.strides[d] for d in order)) for v in views
    ]


def _collapse(views: Sequence[View]) -> tuple[View, ...]:
    """The views with neighbouring dimensions merged where all of them walk on without a gap."""
    shape: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for d, n in enumerate(views[0].shape):
        if n == 1:
            continue
        steps = [view.strides[d] for view in views]
        if shape and all(outer[-1] == n * step for outer, step in zip(strides, steps, strict=True)):
            shape[-1] *= n
            for outer, step in zip(strides, steps, strict=True):
                outer[-1] = step
        else:
            shape.append(n)
            for outer, step in zip(strides, steps, strict=True):
                outer.append(step)
    if not shape:
        return tuple(View(view.kind, (1,), (1,)) for view in views)
    return tuple(View(v.kind, tuple(shape), tuple(s)) for v, s in zip(views, strides, strict=True))


def _cut(views: tuple[View, ...], lanes: int) -> tuple[View, ...]:
    """The views as planes of rows; a dimension is cut in equal pieces where there are few and large planes."""
    if len(views[0].shape) == 1 or views[0].shape[-1] > _VECTORS * lanes:
        views = _split(views, len(views[0].shape) - 1, 1)
        views = tuple(_swap(view) for view in views)
    *outer, height, width = views[0].shape
    if math.prod(outer) >= _UNITS or height * width <= 2 * _UNIT:
        return views
    most = min(_UNITS, height * width // _UNIT)
    for pieces in range(most, 1, -1):
        if height > 1 and height % pieces == 0:
            return _split(views, len(outer), pieces)
        if height == 1 and width % (pieces * lanes) == 0:
            return tuple(_swap(view) for view in _split(views, len(outer) + 1, pieces))
    return views


def _split(views: Sequence[View], axis: int, pieces: int) -> tuple[View, ...]:
    """One dimension as two: pieces, and what is in a piece."""
    size = views[0].shape[axis] // pieces

    def cut(view: View) -> View:
        shape = (*view.shape[:axis], pieces, size, *view.shape[axis + 1 :])
        step = view.strides[axis]
        return View(view.kind, shape, (*view.strides[:axis], step * size, step, *view.strides[axis + 1 :]))

    return tuple(map(cut, views))


def _swap(view: View) -> View:
    """``[…, 1, pieces, width]`` as ``[…, pieces, 1, width]``."""
    if len(view.shape) < 3 or view.shape[-3] != 1:
        return view
    order = (*range(len(view.shape) - 3), len(view.shape) - 2, len(view.shape) - 3, len(view.shape) - 1)
    return View(view.kind, tuple(view.shape[d] for d in order), tuple(view.strides[d] for d in order))


def _offset(b: Builder, plane: Index, outer: Sequence[int], strides: Sequence[int]) -> Index:
    """How far the plane is from the first one."""
    offset: Index = 0
    for extent, stride in zip(reversed(outer), reversed(strides[: len(outer)]), strict=True):
        offset = b.add(offset, b.mul(b.rem(plane, extent), stride))
        plane = b.div(plane, extent)
    return offset


@dataclass(frozen=True)
class _Vector:
    """Where one vector of a plane lies, and how many of its lanes exist."""

    y: Index
    x: Index
    count: int


@dataclass(frozen=True)
class _Plane:
    """A plane of rows at work: the result's view and pointer first."""

    b: Builder
    views: Sequence[View]
    pointers: Sequence[Ssa]
    lanes: int
    body: Body

    def compute(self) -> None:
        """All rows; short ones together, long ones in groups of vectors."""
        b, (height, width) = self.b, self.views[0].shape[-2:]
        whole = width - width % self.lanes
        if width <= _VECTORS * self.lanes:
            together = max(1, _VECTORS // -(-width // self.lanes))
            grouped = height - height % together
            b.loop(0, grouped, together, lambda y, _: self._rows(y, together, width))
            b.loop(grouped, height, 1, lambda y, _: self._rows(y, 1, width))
            return
        wide = _VECTORS * self.lanes
        grouped = width - width % wide

        def row(y: Index, _: list[Ssa]) -> None:
            b.loop(0, grouped, wide, lambda x, _: self._vectors(self._across(y, x, wide)))
            b.loop(grouped, whole, self.lanes, lambda x, _: self._vectors(self._across(y, x, self.lanes)))
            if whole < width:
                self._vectors(self._across(y, whole, width - whole))

        b.loop(0, height, 1, row)

    def _rows(self, y: Index, count: int, width: int) -> None:
        self._vectors([v for d in range(count) for v in self._across(self.b.add(y, d), 0, width)])

    def _across(self, y: Index, x: Index, width: int) -> list[_Vector]:
        return [
            _Vector(y, self.b.add(x, start), min(self.lanes, width - start))
            for start in range(0, width, self.lanes)
        ]

    def _vectors(self, places: Sequence[_Vector]) -> None:
        """Loads all, computes all, stores all: the arithmetic of one hides behind that of the others."""
        loaded = [
            [
                as_bits(self.b, load_vector(self.b, view, self._at(i, place), self.lanes, place.count))
                for i, view in enumerate(self.views)
                if i
            ]
            for place in places
        ]
        results = [as_bits(self.b, self.body(self.b, values, self.lanes)) for values in loaded]
        for place, value in zip(places, results, strict=True):
            store_vector(self.b, self.views[0], self._at(0, place), value, place.count)

    def _at(self, operand: int, place: _Vector) -> Ssa:
        view = self.views[operand]
        offset = self.b.add(self.b.mul(place.y, view.strides[-2]), self.b.mul(place.x, view.strides[-1]))
        return self.b.gep(self.pointers[operand], offset, view.element)


def store_vector(b: Builder, view: View, place: Ssa, value: Ssa, count: int) -> None:
    """The first ``count`` lanes along the last dimension."""
    stride = view.strides[-1]
    if stride == 1:
        b.store_first(value, place, count)
        return
    for lane in range(count):
        b.store(b.lane(value, lane), b.gep(place, lane * stride, view.element))
