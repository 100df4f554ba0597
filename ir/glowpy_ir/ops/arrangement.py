"""Operators that move elements in patterns: repetition, borders, triangles, blocks of space and depth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import chain

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import Add, Sub, scalar
from glowpy_ir.ops.indexing import GatherElements
from glowpy_ir.ops.logic import Equal, Less, LessOrEqual, Select
from glowpy_ir.ops.movement import Concat, Expand, Reshape, Transpose, full_slice


@dataclass(frozen=True)
class Tile(Composite):
    """The tensor ``repeats[d]`` times along dimension ``d`` (ONNX Tile)"""

    repeats: tuple[Dim, ...]

    def expand(self, e: Emitter[T], input: T) -> T:
        shape = e.type_of(input).shape
        if len(shape) != len(self.repeats):
            raise TypeMismatch(f"{e.type_of(input)} needs {len(shape)} numbers of repeats, not {len(self.repeats)}")
        apart = tuple(chain.from_iterable((1, dim) for dim in shape))
        wide = tuple(chain.from_iterable(zip(self.repeats, shape, strict=True)))
        whole = tuple(n * dim for n, dim in zip(self.repeats, shape, strict=True))
        return e.add(Reshape(whole), e.add(Expand(wide), e.add(Reshape(apart), input)))


class Border(Enum):
    """What lies outside a tensor."""

    REFLECT = "reflect"
    """The inside mirrored at the outermost elements."""
    EDGE = "edge"
    """The outermost elements repeated."""
    WRAP = "wrap"
    """The opposite side of the tensor."""


@dataclass(frozen=True)
class PadWithBorder(Composite):
    """``before[d]`` and ``after[d]`` elements of a border around dimension ``d`` (ONNX Pad)"""

    before: tuple[int, ...]
    after: tuple[int, ...]
    border: Border

    def expand(self, e: Emitter[T], input: T) -> T:
        for axis, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            parts = (self._part(e, input, axis, before, False), input, self._part(e, input, axis, after, True))
            given = [part for part in parts if part is not None]
            input = e.add(Concat(axis), *given) if len(given) > 1 else input
        return input

    def _part(self, e: Emitter[T], input: T, axis: int, count: int, after: bool) -> T | None:
        if count == 0:
            return None
        shape = e.type_of(input).shape
        extent = shape[axis]
        needed = {Border.REFLECT: count + 1, Border.EDGE: 1, Border.WRAP: count}[self.border]
        if isinstance(extent, int) and extent < needed:
            raise TypeMismatch(f"{self.border.value} padding of {count} needs {needed} elements, not {extent}")
        match self.border:
            case Border.REFLECT:
                return e.add(full_slice(shape, axis, extent - 2 if after else count, count, -1), input)
            case Border.WRAP:
                return e.add(full_slice(shape, axis, 0 if after else extent - count, count), input)
            case Border.EDGE:
                edge = e.add(full_slice(shape, axis, extent - 1 if after else 0, 1), input)
                return e.add(Expand((*shape[:axis], count, *shape[axis + 1 :])), edge)


class BlockOrder(Enum):
    """How a channel's number is put together: depth, column and row, or column, row and depth."""

    DEPTH_FIRST = "DCR"
    DEPTH_LAST = "CRD"


@dataclass(frozen=True)
class DepthToSpace(Composite):
    """Channels become blocks of ``block`` by ``block`` places: ``[n, c, h, w]`` makes ``[n, c/b/b, h*b, w*b]``

    (ONNX DepthToSpace)
    """

    block: int
    order: BlockOrder = BlockOrder.DEPTH_FIRST

    def expand(self, e: Emitter[T], input: T) -> T:
        n, channels, h, w = _four(e, input)
        b = self.block
        depth = channels // (b * b)
        if depth * b * b != channels:
            raise TypeMismatch(f"{channels} channels do not make blocks of {b} by {b}")
        first = self.order is BlockOrder.DEPTH_FIRST
        apart = e.add(Reshape((n, b, b, depth, h, w) if first else (n, depth, b, b, h, w)), input)
        order = (0, 3, 4, 1, 5, 2) if first else (0, 1, 4, 2, 5, 3)
        return e.add(Reshape((n, depth, h * b, w * b)), e.add(Transpose(order), apart))


@dataclass(frozen=True)
class SpaceToDepth(Composite):
    """Blocks of ``block`` by ``block`` places become channels: ``[n, c, h, w]`` makes ``[n, c*b*b, h/b, w/b]``

    (ONNX SpaceToDepth)
    """

    block: int
    order: BlockOrder = BlockOrder.DEPTH_FIRST

    def expand(self, e: Emitter[T], input: T) -> T:
        n, channels, h, w = _four(e, input)
        b = self.block
        rows, columns = h // b, w // b
        if rows * b != h or columns * b != w:
            raise TypeMismatch(f"{e.type_of(input)} has no blocks of {b} by {b}")
        apart = e.add(Reshape((n, channels, rows, b, columns, b)), input)
        order = (0, 3, 5, 1, 2, 4) if self.order is BlockOrder.DEPTH_FIRST else (0, 1, 3, 5, 2, 4)
        return e.add(Reshape((n, channels * b * b, rows, columns)), e.add(Transpose(order), apart))


def _four(e: Emitter[T], input: T) -> tuple[Dim, ...]:
    type = e.type_of(input)
    if type.rank != 4:
        raise TypeMismatch(f"blocks of space need four dimensions, not {type}")
    return type.shape


@dataclass(frozen=True)
class Triangle(Composite):
    """The matrices in the last two dimensions with zeros below (or above) the diagonal number ``diagonal``

    Diagonal 0 is the main one; a larger number lies further to the right (ONNX Trilu).
    """

    upper: bool = True

    def expand(self, e: Emitter[T], input: T, diagonal: T) -> T:
        type = e.type_of(input)
        if type.rank < 2:
            raise TypeMismatch(f"{type} has no diagonal")
        rows, columns = type.shape[-2:]
        kind = e.type_of(diagonal).kind
        row = e.add(Reshape((rows, 1)), e.add(Iota(rows, kind)))
        edge = e.add(Add(), row, diagonal)  # the column where a row meets the diagonal
        column = e.add(Iota(columns, kind))
        kept = e.add(LessOrEqual(), *((edge, column) if self.upper else (column, edge)))
        return e.add(Select(), kept, input, scalar(e, 0, input))


@dataclass(frozen=True)
class OneHot(Composite):
    """A new dimension ``axis`` of extent ``depth``: ``values[1]`` at the index, ``values[0]`` elsewhere (ONNX OneHot)

    A negative index counts from the end; one out of range makes ``values[0]`` everywhere.
    """

    axis: int
    depth: Dim

    def expand(self, e: Emitter[T], indices: T, values: T) -> T:
        type = e.type_of(indices)
        shape = (*type.shape[: self.axis], 1, *type.shape[self.axis :])
        index = e.add(Reshape(shape), indices)
        wrapped = e.add(Add(), index, scalar(e, self.depth, indices))
        index = e.add(Select(), e.add(Less(), index, scalar(e, 0, indices)), wrapped, index)
        places = tuple(self.depth if d == self.axis else 1 for d in range(len(shape)))
        place = e.add(Reshape(places), e.add(Iota(self.depth, type.kind)))
        off, on = (e.add(Reshape(()), e.add(full_slice((2,), 0, i, 1), values)) for i in range(2))
        return e.add(Select(), e.add(Equal(), index, place), on, off)


@dataclass(frozen=True)
class ReverseSequence(Composite):
    """The first ``lengths[b]`` elements along ``time`` backwards, for each ``b`` along ``batch``

    (ONNX ReverseSequence)
    """

    time: int
    batch: int

    def expand(self, e: Emitter[T], input: T, lengths: T) -> T:
        shape = e.type_of(input).shape
        count, kind = shape[self.time], e.type_of(lengths).kind
        step = e.add(Reshape(_along(len(shape), self.time, count)), e.add(Iota(count, kind)))
        length = e.add(Reshape(_along(len(shape), self.batch, shape[self.batch])), lengths)
        mirrored = e.add(Sub(), e.add(Sub(), length, scalar(e, 1, length)), step)
        source = e.add(Select(), e.add(Less(), step, length), mirrored, step)
        return e.add(GatherElements(self.time), input, e.add(Expand(shape), source))


def _along(rank: int, axis: int, extent: Dim) -> tuple[Dim, ...]:
    return tuple(extent if d == axis else 1 for d in range(rank))
