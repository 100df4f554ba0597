"""Softmax and its logarithm, row by row."""

from __future__ import annotations

import math

from glowpy_backends.cpu.builder import Builder, Ssa, constant
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.exponentials import exp_of_negative, log
from glowpy_backends.cpu.halves import round_to_half
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.kernels.rows import Row, row_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.softmax import LogSoftmax, Softmax
from glowpy_ir.types import Kind


def softmax(op: Softmax | LogSoftmax, result: View, operand: View, epilogue: Epilogue, target: Target) -> Kernel:
    """The exponentials of a row, each computed once, divided by their sum; or the logarithm of that."""
    compute = softmax_of_row if isinstance(op, Softmax) else _log_softmax
    return row_kernel("softmax", (op.axis,), result, operand, epilogue, target, compute)


def softmax_of_row(b: Builder, row: Row) -> None:
    """The weights of one row."""
    largest, kind = _largest(b, row), row.plan.operand.kind

    def rounded(x: Ssa) -> Ssa:
        return round_to_half(b, x, row.plan.operand.element) if kind in (Kind.F16, Kind.BF16) else x

    total = row.fold(_add, 0, lambda x: rounded(exp_of_negative(b, b.op("fsub", x, largest))), save=True)
    if kind is Kind.F16:
        fits = b.compare("olt", total, constant(kind.limits[1], row.type))
        total = b.select(fits, rounded(total), total)
    else:
        total = rounded(total)
    factor = b.op("fdiv", constant(1, row.type), total)
    row.finish(lambda power: b.op("fmul", power, factor), saved=True)


def _log_softmax(b: Builder, row: Row) -> None:
    largest = _largest(b, row)
    total = log(b, row.fold(_add, 0, lambda x: exp_of_negative(b, b.op("fsub", x, largest))))
    row.finish(lambda x: b.op("fsub", b.op("fsub", x, largest), total))


def _largest(b: Builder, row: Row) -> Ssa:
    """The largest number; a NaN in the row shows in the sum."""
    return row.fold(lambda b, x, y: b.select(b.compare("ogt", y, x), y, x), -math.inf, lambda x: x)


def _add(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    return b.op("fadd", x, y)
