"""Copies between tensors that lie differently: what is left of transposes, concatenations and layout changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from glowpy_backends.cpu.builder import I8, I16, I32, I64, Builder, Index, Ssa, Type
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.transpose import transpose
from glowpy_backends.cpu.view import View

_UNIT = 1 << 15
"""Bytes that are worth a unit of their own; half of the first-level cache."""

_TOGETHER = 4
"""Vectors or elements of a row that are written out one after the other."""

_TILE = 16
"""The largest square that is transposed in registers."""

_NEAR = 4
"""Elements closer together than so many are loaded as whole vectors and picked from them."""

_INTEGERS = {1: I8, 2: I16, 4: I32, 8: I64}
"""What is moved as one element, by its bytes."""


@dataclass(frozen=True)
class _Axis:
    """One dimension: how many elements, and how far apart they are, in bytes."""

    extent: int
    to: int
    source: int
    piece: int = 0
    """As many elements as a unit does."""

    @property
    def pieces(self) -> int:
        return -(-self.extent // self.piece)


@dataclass(frozen=True)
class _Place:
    """Where an element is copied to and from, in bytes from the pointers."""

    to: Index
    source: Index


def copy(result: View, operand: View, target: Target) -> Kernel:
    """``result[i] = operand[i]`` for every index; no two results share their memory, and none that of an operand."""
    element, axes, origin = _normalise(result, operand)
    if 0 in result.shape:
        return define_kernel("copy", target, 2, 0, 0, lambda b, call: None)
    form = _form(element, axes)
    outer = [axis for axis in axes if axis not in form.axes]
    granule = min(target.lanes(element.element_bytes), _TILE)
    axes = _cut(outer, form.axes, _UNIT // element.element_bytes, granule)

    def unit(b: Builder, call: Call) -> None:
        place, number = origin, call.unit
        for axis in reversed(axes):
            step = b.mul(b.rem(number, axis.pieces), axis.piece)
            if axis.extent % axis.piece:  # The last piece is as large as the others, and overlaps the one before.
                step = b.smaller(step, axis.extent - axis.piece)
            number = b.div(number, axis.pieces)
            place = _Place(b.add(place.to, b.mul(step, axis.to)), b.add(place.source, b.mul(step, axis.source)))
        pieces = [replace(axis, extent=axis.piece) for axis in axes]
        inner = pieces[len(outer) :]
        copier = _Copier(b, call.operands[0], call.operands[1], element, target.vector_bits // 8)
        _walk(b, pieces[: len(outer)], place, lambda at: form.emit(copier, at, inner), form.together)

    return define_kernel("copy", target, 2, math.prod(axis.pieces for axis in axes), 0, unit)


def _normalise(result: View, operand: View) -> tuple[Type, list[_Axis], _Place]:
    """The element, the dimensions with the most distant results first, and where the first element lies.

    All strides of the result are positive, what walks on without a gap in both is one dimension, and an innermost one
    that is as large as a larger element becomes that.
    """
    size = result.element.element_bytes
    to, source = 0, 0
    axes: list[_Axis] = []
    for n, per_result, per_operand in zip(result.shape, result.strides, operand.strides, strict=True):
        axis = _Axis(n, per_result * size, per_operand * size)
        if axis.to < 0:
            to += (n - 1) * axis.to
            source += (n - 1) * axis.source
            axis = _Axis(n, -axis.to, -axis.source)
        if n > 1:
            axes.append(axis)
    merged: list[_Axis] = []
    for axis in sorted(axes, key=lambda axis: -axis.to):
        last = merged[-1] if merged else axis
        if merged and (last.to, last.source) == (axis.extent * axis.to, axis.extent * axis.source):
            merged[-1] = _Axis(last.extent * axis.extent, axis.to, axis.source)
        else:
            merged.append(axis)
    if merged and merged[-1].to == merged[-1].source == size and merged[-1].extent * size in _INTEGERS:
        size *= merged.pop().extent
    if not merged:
        merged = [_Axis(1, size, size)]
    return _INTEGERS[size], merged, _Place(to, source)


@dataclass(frozen=True)
class _Form:
    """How the innermost dimensions are copied together."""

    axes: Sequence[_Axis]
    emit: Callable[[_Copier, _Place, Sequence[_Axis]], None]
    together: int = 4
    """As many as are written out one after the other."""


def _form(element: Type, axes: Sequence[_Axis]) -> _Form:
    size = element.element_bytes
    row = axes[-1]
    if row.to != size:
        return _Form([row], _Copier.scalars)
    if row.source == size:
        return _Form([row], _Copier.bytes)
    across = next((axis for axis in axes if abs(axis.source) == size and axis is not row), None)
    if across is not None and (across.extent >= _NEAR or abs(row.source) > _NEAR * size):
        return _Form([across, row], _Copier.square, 1)
    if row.source == 0:
        return _Form([row], _Copier.repeated)
    near = abs(row.source) <= _NEAR * size and row.source % size == 0
    return _Form([row], _Copier.picked if near else _Copier.scalars)


def _cut(outer: Sequence[_Axis], inner: Sequence[_Axis], room: int, granule: int) -> list[_Axis]:
    """The dimensions with pieces that make units of about ``room`` elements; vectors lie along the inner ones."""
    cut: list[_Axis] = []
    for axis in reversed([*outer, *inner]):
        is_first_of_square = not cut and len(inner) > 1
        limit = max(1, room // granule if is_first_of_square else room)
        piece = -(-axis.extent // -(-axis.extent // limit))
        if piece < axis.extent and len(cut) < len(inner):
            piece = min(axis.extent, -(-piece // granule) * granule)
        cut.insert(0, replace(axis, piece=piece))
        room //= piece
    return cut


def _walk(b: Builder, axes: Sequence[_Axis], place: _Place, leaf: Callable[[_Place], None], together: int) -> None:
    """The leaf at every place; ``together`` of the innermost ones in straight line."""
    if not axes:
        leaf(place)
        return
    axis, *inner = axes

    def at(i: Index) -> _Place:
        return _step(b, place, axis, i)

    if inner:
        b.loop(0, axis.extent, 1, lambda i, _: _walk(b, inner, at(i), leaf, together))
        return
    whole = axis.extent - axis.extent % together

    def several(i: Index, _: list[Ssa]) -> None:
        for k in range(together):
            leaf(at(b.add(i, k)))

    b.loop(0, whole, together, several)
    b.loop(whole, axis.extent, 1, lambda i, _: leaf(at(i)))


def _step(b: Builder, place: _Place, axis: _Axis, i: Index) -> _Place:
    return _Place(b.add(place.to, b.mul(i, axis.to)), b.add(place.source, b.mul(i, axis.source)))


@dataclass(frozen=True)
class _Copier:
    """Writes the code for the innermost dimensions.

    What does not fill the last vector of a row is written once more with some that precede: no masks are needed.
    """

    b: Builder
    result: Ssa
    operand: Ssa
    element: Type
    vector_bytes: int

    def bytes(self, place: _Place, axes: Sequence[_Axis]) -> None:
        """A row that is contiguous on both sides."""
        b, count = self.b, axes[0].extent * self.element.element_bytes
        to, source = self._pointers(place)

        def move(start: Index, width: int) -> None:
            type = _INTEGERS[width] if width in _INTEGERS else I32.vector(width // I32.element_bytes)
            b.store(b.load(b.gep(source, start, I8), type, 1), b.gep(to, start, I8), 1)

        width = min(self.vector_bytes, 1 << (count.bit_length() - 1))
        group = _TOGETHER * width
        grouped = count - count % group

        def several(start: Index, _: list[Ssa]) -> None:
            for k in range(_TOGETHER):
                move(b.add(start, k * width), width)

        b.loop(0, grouped, group, several)
        for start in range(grouped, count, width):
            move(min(start, count - width), width)

    def square(self, place: _Place, axes: Sequence[_Axis]) -> None:
        """A matrix that is contiguous along its columns, to one that is contiguous along its rows."""
        b, (across, row) = self.b, axes
        if across.source < 0:
            place = _step(b, place, across, across.extent - 1)
            across = _Axis(across.extent, -across.to, -across.source)
        to, source = self._pointers(place)
        smaller = min(across.extent, row.extent)
        lanes = min(_TILE, self._lanes, max(_NEAR, 1 << (smaller - 1).bit_length()))
        type = self.element.vector(lanes)

        def tile(i: Index, columns: int, j: Index, rows: int) -> None:
            corner = b.gep(source, b.add(b.mul(i, across.source), b.mul(j, row.source)), I8)
            loaded = [b.load_first(b.gep(corner, k * row.source, I8), columns, type) for k in range(rows)]
            corner = b.gep(to, b.add(b.mul(i, across.to), b.mul(j, row.to)), I8)
            for k, vector in enumerate(transpose(b, loaded)[:columns]):
                b.store_first(vector, b.gep(corner, k * across.to, I8), rows)

        def along(extent: int, leaf: Callable[[Index, int], None]) -> None:
            """One tile of code serves all of a dimension: the last one overlaps the one before."""
            count, last = min(extent, lanes), extent - lanes
            exact = extent % lanes == 0
            b.loop(0, extent, lanes, lambda i, _: leaf(i if exact or last < 0 else b.smaller(i, last), count))

        along(across.extent, lambda i, columns: along(row.extent, lambda j, rows: tile(i, columns, j, rows)))

    def picked(self, place: _Place, axes: Sequence[_Axis]) -> None:
        """A contiguous row of elements that were a few apart, or backwards: picked from vectors."""
        b, (row,) = self.b, axes
        to, source = self._pointers(place)
        step = row.source // self.element.element_bytes
        lanes = self._lanes
        type = self.element.vector(lanes)

        def vector(i: Index, count: int) -> None:
            span = (count - 1) * abs(step) + 1
            first = b.gep(source, b.mul(b.add(i, count - 1 if step < 0 else 0), row.source), I8)
            starts = _stretches(span, lanes)
            loaded = [b.load_first(b.gep(first, s, self.element), min(lanes, span), type) for s in starts]
            wanted = [abs(step) * (k if step > 0 else count - 1 - k) for k in range(count)]
            result = Ssa("poison", type)
            for start, part in zip(starts, loaded, strict=True):
                here = [lanes + w - start if start <= w < start + lanes else k for k, w in enumerate(wanted)]
                result = b.shuffle(result, part, here + [0] * (lanes - count))
            b.store_first(result, b.gep(to, b.mul(i, row.to), I8), count)

        self._along(row.extent, lanes, vector)

    def repeated(self, place: _Place, axes: Sequence[_Axis]) -> None:
        """A row of equal elements."""
        b, (row,) = self.b, axes
        to, source = self._pointers(place)
        lanes = min(self._lanes, 1 << (row.extent.bit_length() - 1))
        value = b.splat(b.load(source, self.element), lanes)
        self._along(row.extent, lanes, lambda i, _: b.store(value, b.gep(to, i, self.element)))

    def scalars(self, place: _Place, axes: Sequence[_Axis]) -> None:
        """A row of elements that lie apart."""
        b, (row,) = self.b, axes

        def move(at: _Place) -> None:
            to, source = self._pointers(at)
            b.store(b.load(source, self.element, 1), to, 1)

        _walk(b, [row], place, move, _TOGETHER)

    @property
    def _lanes(self) -> int:
        return self.vector_bytes // self.element.element_bytes

    def _pointers(self, place: _Place) -> tuple[Ssa, Ssa]:
        return self.b.gep(self.result, place.to, I8), self.b.gep(self.operand, place.source, I8)

    def _along(self, extent: int, lanes: int, leaf: Callable[[Index, int], None]) -> None:
        """The leaf for each vector of a row: where it starts, and how many lanes it has."""
        whole = extent - extent % lanes
        self.b.loop(0, whole, lanes, lambda i, _: leaf(i, lanes))
        if whole < extent:
            leaf(max(0, extent - lanes), min(extent, lanes))


def _stretches(count: int, size: int) -> list[int]:
    """Starts of stretches of ``size`` that cover ``count``, the last one overlapping if need be."""
    return [*range(0, count - size, size), max(0, count - size)]
