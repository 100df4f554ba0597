"""The determinant: elimination with the largest pivot of each column."""

from __future__ import annotations

import math

from glowpy_backends.cpu.arithmetic import absolute, same
from glowpy_backends.cpu.builder import F64, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.determinant import Determinant


def determinant(_: Determinant, result: View, operand: View, target: Target) -> Kernel:
    """The determinant of each matrix ``[…, n, n]``; units are matrices, of which scratch memory has a copy in f64."""
    size = operand.shape[-1]

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands
        number = call.unit
        for d in reversed(range(len(result.shape))):
            place, number = b.rem(number, result.shape[d]), b.div(number, result.shape[d])
            into = b.gep(into, b.mul(place, result.strides[d]), result.element)
            source = b.gep(source, b.mul(place, operand.strides[d]), operand.element)

        def at(i: Index, j: Index) -> Ssa:
            return b.gep(call.scratch, b.add(b.mul(i, size), j), F64)

        def enter(i: Index, j: Index) -> None:
            offset = b.add(b.mul(i, operand.strides[-2]), b.mul(j, operand.strides[-1]))
            element = b.load(b.gep(source, offset, operand.element), operand.element)
            b.store(widen(b, element, F64), at(i, j))

        def step(k: Index, carried: list[Ssa]) -> list[Ssa]:
            def compare(i: Index, best: list[Ssa]) -> list[Ssa]:
                given = absolute(b, b.load(at(i, k), F64))
                wins = b.compare("ogt", given, best[0])
                return [b.select(wins, given, best[0]), b.select(wins, index(i), best[1])]

            def swap(j: Index, _: list[Ssa]) -> None:
                upper, lower = b.load(at(k, j), F64), b.load(at(row, j), F64)
                b.store(lower, at(k, j))
                b.store(upper, at(row, j))

            def eliminate(i: Index, _: list[Ssa]) -> None:
                factor = b.neg(b.op("fdiv", b.load(at(i, k), F64), divisor))

                def subtract(j: Index, _: list[Ssa]) -> None:
                    b.store(b.fma(factor, b.load(at(k, j), F64), b.load(at(i, j), F64)), at(i, j))

                b.loop(k, size, 1, subtract)

            _, row = b.loop(k, size, 1, compare, [constant(-1, F64), index(k)])
            b.loop(k, size, 1, swap)
            pivot = b.load(at(k, k), F64)
            divisor = b.select(b.compare("oeq", pivot, same(0, pivot)), same(1, pivot), pivot)
            following = b.add(k, 1)
            b.branch(b.less(following, size), lambda: b.loop(following, size, 1, eliminate))
            moved = b.compare("ne", row, index(k))
            return [b.op("fmul", carried[0], b.select(moved, b.neg(pivot), pivot))]

        b.loop(0, size, 1, lambda i, _: b.loop(0, size, 1, lambda j, _: enter(i, j)))
        (product,) = b.loop(0, size, 1, step, [constant(1, F64)])
        b.store(narrow(b, product, result.element), into)

    scratch = size * size * F64.element_bytes
    return define_kernel("determinant", target, 2, math.prod(result.shape), scratch, unit)
