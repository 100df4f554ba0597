"""Choosing elements by what they hold: those that are not zero, and boxes that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glowpy_backends.cpu.builder import BF16, F16, F32, I1, I64, Builder, Index, Ssa, index, zero
from glowpy_backends.cpu.halves import widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.heap import Ranked, RankedHeap
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View


def non_zero(places: View, count: View, operand: View, target: Target) -> Kernel:
    """Where elements are not zero, each an index tuple in a column, then zeros; and how many; there is one unit."""
    element, rank = operand.element, len(operand.shape)
    total = math.prod(operand.shape)
    row, column = places.strides

    def unit(b: Builder, call: Call) -> None:
        into, counted, source = call.operands

        def write(found: Index, numbers: Sequence[Index]) -> None:
            at = b.gep(into, b.mul(found, column), I64)
            for axis, number in enumerate(numbers):
                b.store(index(number), b.gep(at, axis * row, I64))

        def walk(pointer: Ssa, numbers: tuple[Index, ...], found: Ssa) -> Ssa:
            axis = len(numbers)
            if axis == rank:  # a zero's place is overwritten by the next
                write(found, numbers)
                value = b.load(pointer, element)
                value = widen(b, value, F32) if element in (F16, BF16) else value
                holds = b.compare("une" if value.type.is_float else "ne", value, zero(value.type))
                return b.op("add", found, b.cast("zext", holds, I64))

            def step(i: Index, carried: list[Ssa]) -> list[Ssa]:
                here = b.gep(pointer, b.mul(i, operand.strides[axis]), element)
                return [walk(here, (*numbers, i), carried[0])]

            return b.loop(0, operand.shape[axis], 1, step, [found])[0]

        found = walk(source, (), index(0)) if total else index(0)
        b.store(found, counted)

        def blank(i: Index, _: list[Ssa]) -> None:
            write(i, (0,) * rank)

        def rest() -> None:
            b.loop(found, total, 1, blank)

        if rank:
            b.branch(b.less(found, total), rest)

    return define_kernel("non_zero", target, 3, 1, 0, unit)


def suppress_overlaps(
    result: View, boxes: View, scores: View, least: bool, target: Target
) -> Kernel:
    """The boxes with the highest scores that overlap none chosen before; units are the classes of the images.

    Boxes wait in a heap. Each that leaves it is compared with all that were chosen, several at a time.
    """
    batches, classes, most = result.shape
    extent, lanes = scores.shape[2], target.lanes(4)
    room = -(-most // lanes) * lanes
    values = -(-extent * 4 // 8) * 8
    vector = F32.vector(lanes)

    def unit(b: Builder, call: Call) -> None:
        into, corners, row, overlap, *threshold = call.operands
        batch, kind = b.div(call.unit, classes), b.rem(call.unit, classes)
        into = b.gep(into, b.add(b.mul(batch, result.strides[0]), b.mul(kind, result.strides[1])), I64)
        row = b.gep(row, b.add(b.mul(batch, scores.strides[0]), b.mul(kind, scores.strides[1])), F32)
        corners = b.gep(corners, b.mul(batch, boxes.strides[0]), F32)
        behind = b.gep(call.scratch, values // 8, I64)
        chosen = [b.gep(b.gep(behind, extent, I64), k * room, F32) for k in range(4)]
        heap = RankedHeap(b, extent, F32, True, False, call.scratch, behind)
        limit = b.load(overlap, F32)
        floor = b.load(threshold[0], F32) if least else None

        def wait(j: Index, count: list[Ssa]) -> list[Ssa]:
            score = b.load(b.gep(row, b.mul(j, scores.strides[2]), F32), F32)
            heap.put(count[0], Ranked(score, b.neg(index(j))))  # of equal scores, the first shall lead
            waits = b.compare("ogt", score, floor) if floor else b.compare("ord", score, score)
            return [b.op("add", count[0], b.cast("zext", waits, I64))]

        def clear(i: Index, _: list[Ssa]) -> None:
            for line in chosen:
                b.store(zero(vector), b.gep(line, i, F32), 4)

        def choose(waiting: Ssa) -> None:
            heap.settle(waiting)

            def leave(i: Index, carried: list[Ssa]) -> list[Ssa]:
                return b.branch(b.less(carried[0], most), lambda: [take(i, waiting, carried[0])], lambda: carried)

            b.loop(0, waiting, 1, leave, [index(0)])

        def take(i: Index, waiting: Ssa, count: Ssa) -> Ssa:
            best, last = heap.at(0), b.sub(b.sub(waiting, 1), i)
            heap.sift(0, last, heap.at(last))
            number = b.neg(best.place)
            at = b.gep(corners, b.mul(number, boxes.strides[1]), F32)
            x, y, u, v = (b.load(b.gep(at, k * boxes.strides[2], F32), F32) for k in range(4))
            box = [_least(b, x, u), _least(b, y, v), _most(b, x, u), _most(b, y, v)]
            wide = [b.splat(side, lanes) for side in box]
            bound = b.splat(limit, lanes)

            def meet(j: Index, hit: list[Ssa]) -> list[Ssa]:
                others = [b.load(b.gep(line, j, F32), vector) for line in chosen]
                return [b.op("or", hit[0], _overlaps(b, wide, others, bound))]

            (hits,) = b.loop(0, count, lanes, meet, [zero(I1.vector(lanes))])

            def keep() -> list[Ssa]:
                b.store(number, b.gep(into, b.mul(count, result.strides[2]), I64))
                for line, side in zip(chosen, box, strict=True):
                    b.store(side, b.gep(line, count, F32))
                return [b.op("add", count, index(1))]

            (kept,) = b.branch(_any(b, hits), lambda: [count], keep)
            return kept

        b.loop(0, most, 1, lambda k, _: b.store(index(-1), b.gep(into, b.mul(k, result.strides[2]), I64)))
        b.loop(0, room, lanes, clear)
        (waiting,) = b.loop(0, extent, 1, wait, [index(0)])
        b.branch(b.less(0, waiting), lambda: choose(waiting))

    units = batches * classes if most else 0
    return define_kernel("suppress", target, 5 if least else 4, units, values + 8 * extent + 16 * room, unit)


def _least(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    return b.select(b.compare("olt", x, y), x, y)


def _most(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    return b.select(b.compare("ogt", x, y), x, y)


def _overlaps(b: Builder, box: Sequence[Ssa], others: Sequence[Ssa], limit: Ssa) -> Ssa:
    """Whether the intersection with a box takes more of the union than ``limit``; not so if a box has no area."""
    nothing = zero(limit.type)
    width, height = (
        b.op("fsub", _least(b, box[k + 2], others[k + 2]), _most(b, box[k], others[k])) for k in range(2)
    )
    inside = b.op("fmul", width, height)
    area, areas = (
        b.op("fmul", b.op("fsub", one[2], one[0]), b.op("fsub", one[3], one[1])) for one in (box, others)
    )
    ratio = b.op("fdiv", inside, b.op("fsub", b.op("fadd", area, areas), inside))
    met = b.compare("ogt", ratio, limit)
    for positive in (width, height, area, areas):
        met = b.op("and", met, b.compare("ogt", positive, nothing))
    return met


def _any(b: Builder, mask: Ssa) -> Ssa:
    name = f"llvm.vector.reduce.or.{mask.type.mangled}"
    b.declare(name, I1, [mask.type])
    return b.call(name, [mask], I1)
