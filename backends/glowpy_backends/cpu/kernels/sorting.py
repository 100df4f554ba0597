"""The first of the elements along an axis in order, and the order of rows: by heaps, their worst entry on top."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glowpy_backends.cpu.builder import I1, I64, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.halves import narrow
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.heap import Heap, Ranked, RankedHeap
from glowpy_backends.cpu.kernels.ordering import compared_as, is_greater, read
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.sorting import TopK


def top_k(op: TopK, values: View, places: View, operand: View, target: Target) -> Kernel:
    """The first elements along ``op.axis``, and where they stood; units are the rows along that axis.

    Takes ``n log k`` steps at most for the first k of n elements.
    """
    count, extent = values.shape[op.axis], operand.shape[op.axis]
    element = operand.element
    type = compared_as(element)
    room = -(-count * type.element_bytes // 8) * 8
    dims = [d for d in range(len(operand.shape)) if d != op.axis]

    def unit(b: Builder, call: Call) -> None:
        into, numbers, source = call.operands
        row = call.unit
        for d in reversed(dims):
            place, row = b.rem(row, operand.shape[d]), b.div(row, operand.shape[d])
            into = b.gep(into, b.mul(place, values.strides[d]), element)
            numbers = b.gep(numbers, b.mul(place, places.strides[d]), I64)
            source = b.gep(source, b.mul(place, operand.strides[d]), element)
        behind = b.gep(call.scratch, room // 8, I64)
        heap = RankedHeap(b, count, type, operand.kind.is_signed, op.largest, call.scratch, behind)

        def entry_at(i: Index) -> Ranked:
            place = b.gep(source, b.mul(i, operand.strides[op.axis]), element)
            return Ranked(read(b, operand, place), index(i))

        def challenge(i: Index, _: list[Ssa]) -> None:
            entry = entry_at(i)
            b.branch(heap.is_worse(heap.at(0), entry), lambda: heap.sift(0, count, entry))

        def leave(m: Index, _: list[Ssa]) -> None:
            last = b.sub(count - 1, m)
            worst = heap.at(0)
            value = narrow(b, worst.value, element) if type.is_float else b.cast("trunc", worst.value, element)
            b.store(value, b.gep(into, b.mul(last, values.strides[op.axis]), element))
            b.store(worst.place, b.gep(numbers, b.mul(last, places.strides[op.axis]), I64))
            heap.sift(0, last, heap.at(last))

        b.loop(0, count, 1, lambda i, _: heap.put(i, entry_at(i)))
        heap.settle(count)
        b.loop(count, extent, 1, challenge)
        b.loop(0, count, 1, leave)

    rows = math.prod(operand.shape[d] for d in dims) if count else 0
    return define_kernel("top", target, 3, rows, room + 8 * count, unit)


def row_order(result: View, operand: View, target: Target) -> Kernel:
    """The numbers of the rows of a matrix in the order of the rows, sorted where they are written, as one unit."""
    rows = operand.shape[0]

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands
        heap = _Rows(b, rows, operand, source, result.strides[0], into)

        def leave(m: Index, _: list[Ssa]) -> None:
            last = b.sub(rows - 1, m)
            latest, moved = heap.at(0), heap.at(last)
            heap.put(last, latest)
            b.branch(b.less(0, last), lambda: heap.sift(0, last, moved))

        b.loop(0, rows, 1, lambda i, _: heap.put(i, index(i)))
        heap.settle(rows)
        b.loop(0, rows, 1, leave)

    return define_kernel("row_order", target, 2, 1 if rows else 0, 0, unit)


@dataclass(frozen=True)
class _Rows(Heap[Ssa]):
    """A heap of numbers of rows of a matrix."""

    matrix: View
    source: Ssa
    step: int
    numbers: Ssa

    def at(self, number: Index) -> Ssa:
        return self.b.load(self.b.gep(self.numbers, self.b.mul(number, self.step), I64), I64)

    def put(self, number: Index, entry: Ssa) -> None:
        self.b.store(entry, self.b.gep(self.numbers, self.b.mul(number, self.step), I64))

    def is_worse(self, one: Ssa, other: Ssa) -> Ssa:
        """By the first element that differs, then by number."""
        b, (_, columns), (row, column) = self.b, self.matrix.shape, self.matrix.strides
        element, signed = self.matrix.element, self.matrix.kind.is_signed
        lines = [b.gep(self.source, b.mul(number, row), element) for number in (one, other)]

        def compare(j: Index, found: list[Ssa]) -> list[Ssa]:
            def look() -> list[Ssa]:
                x, y = (read(b, self.matrix, b.gep(line, b.mul(j, column), element)) for line in lines)
                above, below = is_greater(b, x, y, signed), is_greater(b, y, x, signed)
                return [above, b.op("or", above, below)]

            return b.branch(found[1], lambda: found, look)

        no = constant(False, I1)
        above, differs = b.loop(0, columns, 1, compare, [no, no])
        return b.select(differs, above, b.compare("sgt", one, other))
