"""Operators that choose elements by what they hold: how many that are depends on data.

Types stay static all the same: a result has room for all that could be chosen, and a second one tells how many were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import Dim, minimum, product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Iota, RunningSum
from glowpy_ir.ops.elementwise import NUMBERS, Add, Mul, Splat, Sub, require_kind, scalar
from glowpy_ir.ops.indexing import Gather, GatherND, ScatterND
from glowpy_ir.ops.logic import Equal, Less, LessOrEqual, Not, Or, Select
from glowpy_ir.ops.movement import Concat, Expand, Reshape, Transpose, full_slice
from glowpy_ir.ops.reduction import ReduceSum
from glowpy_ir.ops.sorting import RowOrder, TopK
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class NonZero(Primitive):
    """Where ``input`` is not zero: index tuples as columns, followed by columns of zeros; and how many (ONNX NonZero)

    ``[n…]`` makes ``i64[rank, product of n]`` and ``i64[]``.
    """

    def infer(self, input: TensorType) -> tuple[TensorType, TensorType]:
        require_kind(self.name, input.kind, NUMBERS | {Kind.BOOL})
        return TensorType(Kind.I64, (input.rank, product(input.shape))), TensorType(Kind.I64, ())

    def evaluate(self, input: Array) -> tuple[Array, Array]:
        flat = np.flatnonzero(input)
        places = np.zeros((input.ndim, input.size), np.int64)
        for axis, numbers in enumerate(np.unravel_index(flat, input.shape) if input.ndim else ()):
            places[axis, : flat.size] = numbers
        return places, np.array(flat.size, np.int64)


@dataclass(frozen=True)
class Unique(Composite):
    """The rows of ``input``, each once: in order, or ``in_order`` false, as they come (ONNX Unique)

    ``[n, m]`` makes ``i64[n]`` where each stands first, ``i64[n]`` which of them a row is, ``i64[n]`` how often each
    occurs, and ``i64[]`` how many there are; the first and the third result are valid so far. NaN equals NaN.
    """

    in_order: bool = True

    def expand(self, e: Emitter[T], input: T) -> tuple[T, T, T, T]:
        rows, _ = _dims(self.name, e.type_of(input), 2)
        one, number = e.add(Splat(1, Kind.I64)), e.add(Iota(rows))
        order = e.add(RowOrder(), input)
        is_new = _differs_from_last(e, e.add(Gather(), input, order), number)
        starts, count = e.add_all(NonZero(), is_new)
        starts = e.add(Reshape((rows,)), starts)
        rank = e.add(Sub(), e.add(RunningSum(0), e.add(Cast(Kind.I64), is_new)), one)
        which = _put(e, rank, order, rows)
        end = e.add(Expand((rows,)), e.add(Splat(rows, Kind.I64)))
        following = e.add(Gather(), starts, _clipped(e, e.add(Add(), number, one), rows))
        is_last = e.add(LessOrEqual(), count, e.add(Add(), number, one))
        often = e.add(Sub(), e.add(Select(), is_last, end, following), starts)
        first = e.add(Gather(), order, starts)
        if not self.in_order:
            behind = e.add(Select(), e.add(Less(), number, count), first, end)
            _, place = e.add_all(TopK(0, rows, largest=False), behind)
            first, often = e.add(Gather(), first, place), e.add(Gather(), often, place)
            which = e.add(Gather(), _put(e, number, place, rows), which)
        return first, which, often, count


def _differs_from_last(e: Emitter[T], rows: T, number: T) -> T:
    """Whether a row is another than the one before; the first one is."""
    type = e.type_of(rows)
    before = e.add(Gather(), rows, _clipped(e, e.add(Sub(), number, e.add(Splat(1, Kind.I64))), type.shape[0]))
    same = e.add(Equal(), rows, before)
    if type.kind.is_float:
        both_nan = e.add(Not(), e.add(Or(), e.add(Equal(), rows, rows), e.add(Equal(), before, before)))
        same = e.add(Or(), same, both_nan)
    differences = e.add(ReduceSum((1,), False), e.add(Cast(Kind.I64), e.add(Not(), same)))
    zero = e.add(Splat(0, Kind.I64))
    return e.add(Or(), e.add(Less(), zero, differences), e.add(Equal(), number, zero))


def _clipped(e: Emitter[T], numbers: T, extent: Dim) -> T:
    """Numbers that are moved into a dimension."""
    zero, last = e.add(Splat(0, Kind.I64)), e.add(Splat(extent - 1, Kind.I64))
    low = e.add(Select(), e.add(Less(), numbers, zero), zero, numbers)
    return e.add(Select(), e.add(Less(), last, low), last, low)


def _put(e: Emitter[T], numbers: T, places: T, count: Dim) -> T:
    """``numbers[i]`` at ``places[i]``, which are all places once."""
    blank = e.add(Splat(0, Kind.I64, (count,)))
    return e.add(ScatterND(), blank, e.add(Reshape((count, 1)), places), numbers)


@dataclass(frozen=True)
class SuppressOverlaps(Primitive):
    """The boxes with the highest scores that overlap none chosen before by more than ``overlap``; -1 behind them

    ``boxes`` are f32[batch, n, 4], each two opposite corners, ``scores`` are f32[batch, classes, n]. The result is
    i64[batch, classes, min(most, n)]: which boxes are chosen, the best first; of equal scores, the first. Boxes whose
    score is NaN, or not above ``least``, are left out. Overlap is the area of the intersection over that of the union.
    """

    most: int

    def infer(
        self, boxes: TensorType, scores: TensorType, overlap: TensorType, least: TensorType | None = None
    ) -> TensorType:
        (batch, n, four), (batches, classes, numbers) = _dims(self.name, boxes, 3), _dims(self.name, scores, 3)
        if (batch, n, four) != (batches, numbers, 4) or self.most < 0:
            raise TypeMismatch(f"{self.name} takes [batch, n, 4] and [batch, classes, n], not {boxes} and {scores}")
        for type in (boxes, scores, overlap, *((least,) if least else ())):
            require_kind(self.name, type.kind, frozenset({Kind.F32}))
        if overlap.shape or (least and least.shape):
            raise TypeMismatch(f"the thresholds of {self.name} must be scalars")
        return TensorType(Kind.I64, (batch, classes, minimum(self.most, n)))

    def evaluate(self, boxes: Array, scores: Array, overlap: Array, least: Array | None = None) -> Array:
        batches, classes, extent = scores.shape
        result = np.full((batches, classes, min(self.most, extent)), -1, np.int64)
        for batch, kind in np.ndindex(batches, classes):
            row = scores[batch, kind]
            order = np.argsort(-row, kind="stable")
            waiting = order[row[order] == row[order] if least is None else row[order] > least]
            chosen: list[int] = []
            while waiting.size and len(chosen) < result.shape[2]:
                best, waiting = waiting[0], waiting[1:]
                chosen.append(int(best))
                waiting = waiting[~(_overlap(boxes[batch, best], boxes[batch, waiting]) > overlap)]
            result[batch, kind, : len(chosen)] = chosen
        return result


def _overlap(box: Array, others: Array) -> Array:
    """Intersection over union of a box with each of the others; below any limit if nothing is in both."""
    low, high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])
    lows, highs = np.minimum(others[:, :2], others[:, 2:]), np.maximum(others[:, :2], others[:, 2:])
    with np.errstate(all="ignore"):
        common = np.minimum(high, highs) - np.maximum(low, lows)
        area, areas, inside = np.prod(high - low), np.prod(highs - lows, 1), np.prod(common, 1)
        met = (common > 0).all(1) & (area > 0) & (areas > 0)
        return np.where(met, inside / (area + areas - inside), np.float32(-np.inf))


@dataclass(frozen=True)
class NonMaxSuppression(Composite):
    """Boxes chosen by score that do not overlap, as rows batch, class, box; and how many (ONNX NonMaxSuppression)

    Operands are those of ``SuppressOverlaps``, which does the work; with ``centered``, boxes are given by center and
    size. The result is i64[batch * classes * min(most, n), 3], of which as many rows are valid as the second one says.
    """

    most: int
    centered: bool = False

    def expand(self, e: Emitter[T], boxes: T, scores: T, overlap: T, least: T | None = None) -> tuple[T, T]:
        if self.centered:
            shape = e.type_of(boxes).shape
            center, size = (e.add(full_slice(shape, len(shape) - 1, start, 2), boxes) for start in (0, 2))
            half = e.add(Mul(), size, scalar(e, 0.5, size))
            boxes = e.add(Concat(len(shape) - 1), e.add(Sub(), center, half), e.add(Add(), center, half))
        given = (boxes, scores, overlap) if least is None else (boxes, scores, overlap, least)
        chosen = e.add(SuppressOverlaps(self.most), *given)
        places, count = e.add_all(NonZero(), e.add(LessOrEqual(), scalar(e, 0, chosen), chosen))
        tuples = e.add(Transpose((1, 0)), places)
        rows = e.type_of(tuples).shape[0]
        if rows == 0:
            return tuples, count
        box = e.add(Reshape((rows, 1)), e.add(GatherND(), chosen, tuples))
        return e.add(Concat(1), e.add(full_slice((rows, 3), 1, 0, 2), tuples), box), count


def _dims(name: str, type: TensorType, rank: int) -> tuple[Dim, ...]:
    if type.rank != rank:
        raise TypeMismatch(f"{name} takes {rank} dimensions, not {type}")
    return type.shape
