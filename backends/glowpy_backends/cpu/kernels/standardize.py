"""Rows with mean zero and variance one: what all normalisations have in common."""

from __future__ import annotations

from glowpy_backends.cpu.arithmetic import square_root
from glowpy_backends.cpu.builder import Builder, Ssa, constant
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.kernels.rows import Row, row_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.normalization import Standardize


def standardize(op: Standardize, result: View, operand: View, epilogue: Epilogue, target: Target) -> Kernel:
    """The kernel. The variance is the mean square of what is left of the mean, which loses no digits."""

    def compute(b: Builder, row: Row) -> None:
        share = constant(1 / max(1, row.length), row.type)
        mean = b.op("fmul", row.fold(_add, 0, lambda x: x), share) if op.centered else None

        def deviation(x: Ssa) -> Ssa:
            return x if mean is None else b.op("fsub", x, mean)

        def square(x: Ssa) -> Ssa:
            return b.op("fmul", deviation(x), deviation(x))

        variance = b.op("fmul", row.fold(_add, 0, square), share)
        spread = square_root(b, b.op("fadd", variance, constant(op.epsilon, row.type)))
        factor = b.op("fdiv", constant(1, row.type), spread)
        row.finish(lambda x: b.op("fmul", deviation(x), factor))

    return row_kernel("standardize", op.axes, result, operand, epilogue, target, compute)


def _add(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    return b.op("fadd", x, y)
