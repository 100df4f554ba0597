"""Where elements stand in a sorted list."""

from __future__ import annotations

import math

from glowpy_backends.cpu.builder import I64, Builder, Index, Ssa, index
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.ordering import is_greater, read
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View

BLOCK = 64
"""How many elements a unit looks for."""


def find_key(result: View, operand: View, keys: View, target: Target) -> Kernel:
    """The place of each element of ``operand`` among ``keys``, or -1, by bisection; units are blocks of elements."""
    count, total, signed = keys.shape[0], math.prod(operand.shape), operand.kind.is_signed

    def unit(b: Builder, call: Call) -> None:
        into, source, table = call.operands

        def key(place: Index) -> Ssa:
            return read(b, keys, b.gep(table, b.mul(place, keys.strides[0]), keys.element))

        def find(i: Index, _: list[Ssa]) -> None:
            to, origin, rest = into, source, i
            for d in reversed(range(len(operand.shape))):
                place, rest = b.rem(rest, operand.shape[d]), b.div(rest, operand.shape[d])
                to = b.gep(to, b.mul(place, result.strides[d]), I64)
                origin = b.gep(origin, b.mul(place, operand.strides[d]), operand.element)
            wanted = read(b, operand, origin)

            def halve(_: Index, bounds: list[Ssa]) -> list[Ssa]:
                low, high = bounds
                middle = index(b.smaller(b.div(b.add(low, high), 2), count - 1))
                beyond = is_greater(b, wanted, key(middle), signed)
                return [b.select(beyond, index(b.add(middle, 1)), low), b.select(beyond, high, middle)]

            low, _high = b.loop(0, count.bit_length(), 1, halve, [index(0), index(count)])
            nearest = index(b.smaller(low, count - 1))
            there = key(nearest)
            above, below = is_greater(b, wanted, there, signed), is_greater(b, there, wanted, signed)
            b.store(b.select(b.op("or", above, below), index(-1), nearest), to)

        start = b.mul(call.unit, BLOCK)
        b.loop(start, b.smaller(b.add(start, BLOCK), total), 1, find)

    return define_kernel("find", target, 3, -(-total // BLOCK), 0, unit)
