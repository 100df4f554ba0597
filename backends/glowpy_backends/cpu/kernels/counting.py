"""Numbers in order, and running sums and products."""

from __future__ import annotations

import math

from glowpy_backends.cpu.builder import F64, I64, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.reduction import COMBINE
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.counting import Running, RunningSum
from glowpy_ir.ops.reduction import ReduceProd, ReduceSum


def iota(result: View, target: Target) -> Kernel:
    """``0, 1, …``"""
    (count,), (stride,) = result.shape, result.strides

    def unit(b: Builder, call: Call) -> None:
        (into,) = call.operands

        def one(i: Index, _: list[Ssa]) -> None:
            number = index(i)
            if result.kind.is_float:
                number = narrow(b, b.cast("sitofp", number, F64), result.element)
            elif result.element != I64:
                number = b.cast("trunc", number, result.element)
            b.store(number, b.gep(into, b.mul(i, stride), result.element))

        b.loop(0, count, 1, one)

    return define_kernel("iota", target, 1, 1, 0, unit)


def running(op: Running, result: View, operand: View, target: Target) -> Kernel:
    """Each element and all before it along the axis combined, floats in float64. Units are the rows along the axis."""
    axis, element = op.axis, operand.element
    combine = COMBINE[ReduceSum if isinstance(op, RunningSum) else ReduceProd](operand.kind)
    type = F64 if element.is_float else element
    dims = [d for d in range(len(operand.shape)) if d != axis]

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands
        row = call.unit
        for d in reversed(dims):
            place, row = b.rem(row, operand.shape[d]), b.div(row, operand.shape[d])
            into = b.gep(into, b.mul(place, result.strides[d]), element)
            source = b.gep(source, b.mul(place, operand.strides[d]), element)

        def one(i: Index, carried: list[Ssa]) -> list[Ssa]:
            given = b.load(b.gep(source, b.mul(i, operand.strides[axis]), element), element)
            total = combine(b, carried[0], widen(b, given, type))
            b.store(narrow(b, total, element), b.gep(into, b.mul(i, result.strides[axis]), element))
            return [total]

        b.loop(0, operand.shape[axis], 1, one, [constant(op.neutral, type)])

    return define_kernel("running", target, 2, math.prod(operand.shape[d] for d in dims), 0, unit)
