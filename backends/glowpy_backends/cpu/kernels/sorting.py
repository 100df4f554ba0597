"""The first of the elements along an axis in order, and the order of rows."""

from __future__ import annotations

import math

from glowpy_backends.cpu.builder import I1, I64, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.halves import narrow
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.heap import Ranked, RankedHeap
from glowpy_backends.cpu.kernels.merging import merge_sort, scratch_bytes
from glowpy_backends.cpu.kernels.ordering import compared_as, is_greater, read
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.sorting import TopK

MERGED_SHARE = 2
"""If at least one of so many elements is wanted, merging is not slower than a heap (measured on random numbers)."""


def top_k(op: TopK, values: View, places: View, operand: View, target: Target) -> Kernel:
    """The first elements along ``op.axis``, and where they stood; units are the rows along that axis.

    Takes ``n log k`` steps at most for the first k of n elements: by a heap of the best so far, its worst on top; or,
    for many of them, by merging.
    """
    count, extent = values.shape[op.axis], operand.shape[op.axis]
    element, signed = operand.element, operand.kind.is_signed
    type = compared_as(element)
    room = -(-count * type.element_bytes // 8) * 8
    dims = [d for d in range(len(operand.shape)) if d != op.axis]
    merges = count * MERGED_SHARE >= extent

    def unit(b: Builder, call: Call) -> None:
        into, numbers, source = call.operands
        row = call.unit
        for d in reversed(dims):
            place, row = b.rem(row, operand.shape[d]), b.div(row, operand.shape[d])
            into = b.gep(into, b.mul(place, values.strides[d]), element)
            numbers = b.gep(numbers, b.mul(place, places.strides[d]), I64)
            source = b.gep(source, b.mul(place, operand.strides[d]), element)

        def value_at(i: Index) -> Ssa:
            return read(b, operand, b.gep(source, b.mul(i, operand.strides[op.axis]), element))

        def leave(rank: Index, value: Ssa, place: Ssa) -> None:
            short = narrow(b, value, element) if type.is_float else b.cast("trunc", value, element)
            b.store(short, b.gep(into, b.mul(rank, values.strides[op.axis]), element))
            b.store(place, b.gep(numbers, b.mul(rank, places.strides[op.axis]), I64))

        def merge() -> None:
            def is_before(one: Ssa, other: Ssa) -> Ssa:
                return is_greater(b, one, other, signed) if op.largest else is_greater(b, other, one, signed)

            entries = merge_sort(b, extent, type, call.scratch, value_at, is_before)

            def one(i: Index, _: list[Ssa]) -> None:
                leave(i, b.load(entries.key_at(i), type), b.load(entries.number_at(i), I64))

            b.loop(0, count, 1, one)

        def choose() -> None:
            behind = b.gep(call.scratch, room // 8, I64)
            heap = RankedHeap(b, count, type, signed, op.largest, call.scratch, behind)

            def challenge(i: Index, _: list[Ssa]) -> None:
                entry = Ranked(value_at(i), index(i))
                b.branch(heap.is_worse(heap.at(0), entry), lambda: heap.sift(0, count, entry))

            def last_one(m: Index, _: list[Ssa]) -> None:
                last, worst = b.sub(count - 1, m), heap.at(0)
                leave(last, worst.value, worst.place)
                heap.sift(0, last, heap.at(last))

            b.loop(0, count, 1, lambda i, _: heap.put(i, Ranked(value_at(i), index(i))))
            heap.settle(count)
            b.loop(count, extent, 1, challenge)
            b.loop(0, count, 1, last_one)

        if merges:
            merge()
        else:
            choose()

    rows = math.prod(operand.shape[d] for d in dims) if count else 0
    return define_kernel("top", target, 3, rows, scratch_bytes(extent, type) if merges else room + 8 * count, unit)


def row_order(result: View, operand: View, target: Target) -> Kernel:
    """The numbers of the rows of a matrix in the order of the rows; there is one unit."""
    (rows, columns), (row, column) = operand.shape, operand.strides
    element, signed = operand.element, operand.kind.is_signed
    key = compared_as(element) if columns == 1 else I64

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands

        def number_or_element(i: Index) -> Ssa:
            return read(b, operand, b.gep(source, b.mul(i, row), element)) if columns == 1 else index(i)

        def is_before(one: Ssa, other: Ssa) -> Ssa:
            if columns == 1:
                return is_greater(b, other, one, signed)
            lines = [b.gep(source, b.mul(number, row), element) for number in (one, other)]

            def compare(j: Index, found: list[Ssa]) -> list[Ssa]:
                def look() -> list[Ssa]:
                    x, y = (read(b, operand, b.gep(line, b.mul(j, column), element)) for line in lines)
                    below, above = is_greater(b, y, x, signed), is_greater(b, x, y, signed)
                    return [below, b.op("or", above, below)]

                return b.branch(found[1], lambda: found, look)

            return b.loop(0, columns, 1, compare, [constant(False, I1), constant(False, I1)])[0]

        entries = merge_sort(b, rows, key, call.scratch, number_or_element, is_before)

        def leave(i: Index, _: list[Ssa]) -> None:
            b.store(b.load(entries.number_at(i), I64), b.gep(into, b.mul(i, result.strides[0]), I64))

        b.loop(0, rows, 1, leave)

    return define_kernel("row_order", target, 2, 1 if rows else 0, scratch_bytes(rows, key), unit)
