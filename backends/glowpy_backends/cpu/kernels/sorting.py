"""The first of the elements along an axis, in order: a heap of the best so far, its worst element on top."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glowpy_backends.cpu.builder import BF16, F16, F32, I1, I32, I64, Builder, Index, Ssa, Type, constant, index
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.sorting import TopK


def top_k(op: TopK, values: View, places: View, operand: View, target: Target) -> Kernel:
    """The first elements along ``op.axis``, and where they stood; units are the rows along that axis.

    Takes ``n log k`` steps at most for the first k of n elements.
    """
    count, extent = values.shape[op.axis], operand.shape[op.axis]
    element = operand.element
    type = F32 if element in (F16, BF16) else I32 if element.element_bytes < 4 else element
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
        heap = _Heap(b, type, operand.kind.is_signed, op.largest, count, call.scratch, behind)

        def read(i: Index) -> _Entry:
            given = b.load(b.gep(source, b.mul(i, operand.strides[op.axis]), element), element)
            if type.is_float:
                return _Entry(widen(b, given, type), index(i))
            return _Entry(b.cast("sext" if operand.kind.is_signed else "zext", given, type), index(i))

        def challenge(i: Index, _: list[Ssa]) -> None:
            entry = read(i)
            b.branch(heap.is_worse(heap.at(0), entry), lambda: heap.sift(0, count, entry))

        def leave(m: Index, _: list[Ssa]) -> None:
            last = b.sub(count - 1, m)
            worst = heap.at(0)
            value = narrow(b, worst.value, element) if type.is_float else b.cast("trunc", worst.value, element)
            b.store(value, b.gep(into, b.mul(last, values.strides[op.axis]), element))
            b.store(worst.place, b.gep(numbers, b.mul(last, places.strides[op.axis]), I64))
            heap.sift(0, last, heap.at(last))

        b.loop(0, count, 1, lambda i, _: heap.put(i, read(i)))
        b.loop(0, count // 2, 1, lambda i, _: heap.settle(b.sub(count // 2 - 1, i)))
        b.loop(count, extent, 1, challenge)
        b.loop(0, count, 1, leave)

    rows = math.prod(operand.shape[d] for d in dims) if count else 0
    return define_kernel("top", target, 3, rows, room + 8 * count, unit)


@dataclass(frozen=True)
class _Entry:
    value: Ssa
    place: Ssa


@dataclass(frozen=True)
class _Heap:
    """Entries of which each is worse than the two at twice its number; values and places lie apart."""

    b: Builder
    type: Type
    signed: bool
    largest: bool
    count: int
    values: Ssa
    places: Ssa

    def at(self, number: Index) -> _Entry:
        b = self.b
        value = b.load(b.gep(self.values, number, self.type), self.type)
        return _Entry(value, b.load(b.gep(self.places, number, I64), I64))

    def put(self, number: Index, entry: _Entry) -> None:
        b = self.b
        b.store(entry.value, b.gep(self.values, number, self.type))
        b.store(entry.place, b.gep(self.places, number, I64))

    def is_worse(self, one: _Entry, other: _Entry) -> Ssa:
        """Whether ``one`` comes after ``other``: by value, NaN being the largest, then by place."""
        b = self.b
        above, below = self._is_greater(one.value, other.value), self._is_greater(other.value, one.value)
        after, before = (below, above) if self.largest else (above, below)
        return b.select(before, constant(False, I1), b.op("or", after, b.compare("sgt", one.place, other.place)))

    def _is_greater(self, one: Ssa, other: Ssa) -> Ssa:
        b = self.b
        if not self.type.is_float:
            return b.compare("sgt" if self.signed else "ugt", one, other)
        only_nan = b.op("and", b.compare("uno", one, one), b.compare("ord", other, other))
        return b.op("or", b.compare("ogt", one, other), only_nan)

    def settle(self, number: Index) -> None:
        """Lets the entry sink to where it belongs; those below are in order."""
        self.sift(number, self.count, self.at(number))

    def sift(self, number: Index, size: Index, entry: _Entry) -> None:
        """Puts ``entry`` at ``number`` or below, in a heap of ``size`` entries; worse ones rise."""
        b = self.b

        def level(_: Index, carried: list[Ssa]) -> list[Ssa]:
            hole, sinking = carried
            left = b.add(b.mul(hole, 2), 1)
            exists = b.op("and", sinking, b.less(left, size))

            def compared() -> list[Ssa]:
                right = b.smaller(b.add(left, 1), b.sub(size, 1))
                child = b.select(self.is_worse(self.at(right), self.at(left)), index(right), index(left))
                risen = self.at(child)
                rises = self.is_worse(risen, entry)
                b.branch(rises, lambda: self.put(hole, risen))
                return [b.select(rises, child, hole), rises]

            return b.branch(exists, compared, lambda: [hole, constant(False, I1)])

        place, _ = b.loop(0, self.count.bit_length(), 1, level, [index(number), constant(True, I1)])
        self.put(place, entry)
