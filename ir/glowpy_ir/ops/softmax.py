"""Softmax and its relatives: numbers along an axis become weights."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import Div, Sub, scalar
from glowpy_ir.ops.functions import Exp, Log
from glowpy_ir.ops.logic import Equal, Less, Select
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.reduction import ArgMax, ReduceMax, ReduceSum, cast, wide
from glowpy_ir.types import Kind


@dataclass(frozen=True)
class Softmax(Composite):
    """``exp(input - m) / sum(exp(input - m))`` with the maximum m along ``axis``, so that nothing overflows.

    Of half-precision floats the exponentials and their sum are rounded to halves, as the standard's definition does;
    but not a sum that is too large for one (ONNX Softmax).
    """

    axis: int

    def expand(self, e: Emitter[T], input: T) -> T:
        kind = e.type_of(input).kind
        powers = _rounded(e, e.add(Exp(), _below_maximum(e, input, self.axis)), kind)
        total = e.add(ReduceSum((self.axis,)), powers)
        if e.type_of(total).kind is not kind:
            fits = e.add(Less(), total, scalar(e, kind.limits[1], total))
            total = e.add(Select(), fits, _rounded(e, total, kind), total)
        return cast(e, e.add(Div(), powers, total), kind)


@dataclass(frozen=True)
class LogSoftmax(Composite):
    """``input - m - log(sum(exp(input - m)))`` with the maximum m along ``axis`` (ONNX LogSoftmax)

    In f32 for half-precision floats.
    """

    axis: int

    def expand(self, e: Emitter[T], input: T) -> T:
        distance = _below_maximum(e, input, self.axis)
        total = e.add(ReduceSum((self.axis,)), e.add(Exp(), distance))
        return cast(e, e.add(Sub(), distance, e.add(Log(), total)), e.type_of(input).kind)


@dataclass(frozen=True)
class Hardmax(Composite):
    """1 at the first largest element along ``axis``, else 0 (ONNX Hardmax)"""

    axis: int

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        length, *trailing = type.shape[self.axis :]
        if 0 in type.shape:
            return input
        positions = e.add(Reshape((length, *(1 for _ in trailing))), e.add(Iota(length)))
        return cast(e, e.add(Equal(), e.add(ArgMax(self.axis), input), positions), type.kind)


def _rounded(e: Emitter[T], numbers: T, kind: Kind) -> T:
    """The same numbers with no more digits than ``kind`` has."""
    return cast(e, cast(e, numbers, kind), e.type_of(numbers).kind)


def _below_maximum(e: Emitter[T], input: T, axis: int) -> T:
    type = e.type_of(input)
    if not type.kind.is_float:
        raise TypeMismatch(f"softmax takes floats; not {type}")
    exponent = wide(e, input)
    return e.add(Sub(), exponent, e.add(ReduceMax((axis,)), exponent))
