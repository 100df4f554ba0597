"""Element-wise comparison, logic and bits, and the choice between two operands.

One family serves booleans and integers: ``And`` of booleans is the logical one, of integers the one bit by bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import (
    FLOATS,
    INTEGERS,
    NUMBERS,
    Binary,
    Elementwise,
    Unary,
    broadcast_shapes,
    scalar,
)
from glowpy_ir.ops.functions import Abs
from glowpy_ir.types import Array, Kind, TensorType

BITS = INTEGERS | {Kind.BOOL}


class Comparison(Binary):
    """A question about two operands; comparisons with NaN are false."""

    def result_kind(self, kind: Kind) -> Kind:
        super().result_kind(kind)
        return Kind.BOOL


@dataclass(frozen=True)
class Equal(Comparison):
    """``lhs == rhs`` (ONNX Equal)"""

    kinds = NUMBERS | {Kind.BOOL, Kind.STRING}
    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.equal(lhs, rhs)


@dataclass(frozen=True)
class Less(Comparison):
    """``lhs < rhs`` (ONNX Less)"""

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.less(lhs, rhs)


@dataclass(frozen=True)
class LessOrEqual(Comparison):
    """``lhs <= rhs`` (ONNX LessOrEqual)"""

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.less_equal(lhs, rhs)


@dataclass(frozen=True)
class Greater(Composite):
    """``lhs > rhs`` (ONNX Greater)"""

    def expand(self, e: Emitter[T], lhs: T, rhs: T) -> T:
        return e.add(Less(), rhs, lhs)


@dataclass(frozen=True)
class GreaterOrEqual(Composite):
    """``lhs >= rhs`` (ONNX GreaterOrEqual)"""

    def expand(self, e: Emitter[T], lhs: T, rhs: T) -> T:
        return e.add(LessOrEqual(), rhs, lhs)


@dataclass(frozen=True)
class And(Binary):
    """``lhs & rhs`` (ONNX And, BitwiseAnd)"""

    kinds = BITS
    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.bitwise_and(lhs, rhs)


@dataclass(frozen=True)
class Or(Binary):
    """``lhs | rhs`` (ONNX Or, BitwiseOr)"""

    kinds = BITS
    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.bitwise_or(lhs, rhs)


@dataclass(frozen=True)
class Xor(Binary):
    """``lhs ^ rhs``, one or the other (ONNX Xor, BitwiseXor)"""

    kinds = BITS
    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.bitwise_xor(lhs, rhs)


@dataclass(frozen=True)
class Not(Unary):
    """``~input`` (ONNX Not, BitwiseNot)"""

    kinds = BITS

    def compute(self, input: Array) -> Array:
        return np.invert(input)


@dataclass(frozen=True)
class ShiftLeft(Binary):
    """``lhs`` moved by ``rhs`` bits to the more significant side (ONNX BitShift with direction=LEFT)

    Zero where ``rhs`` is negative or not less than the number of bits.
    """

    kinds = INTEGERS

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.left_shift(lhs, rhs)


@dataclass(frozen=True)
class ShiftRight(Binary):
    """``lhs`` moved by ``rhs`` bits to the less significant side (ONNX BitShift with direction=RIGHT)

    The sign bit is repeated. Where ``rhs`` is negative or not less than the number of bits, the sign bit alone is
    left: zero, or -1 where ``lhs`` is negative.
    """

    kinds = INTEGERS

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.right_shift(lhs, rhs)


@dataclass(frozen=True)
class Select(Elementwise):
    """``lhs`` where ``condition`` holds, else ``rhs`` (ONNX Where)"""

    kinds = frozenset(Kind)
    in_place = (0, 1, 2)

    def infer(self, condition: TensorType, lhs: TensorType, rhs: TensorType) -> TensorType:
        if condition.kind is not Kind.BOOL:
            raise TypeMismatch(f"the condition of {self.name} must be bool; it is {condition}")
        chosen = self._common(lhs, rhs)
        return chosen.with_shape(*broadcast_shapes(condition.shape, chosen.shape))

    def compute(self, condition: Array, lhs: Array, rhs: Array) -> Array:
        return np.where(condition, lhs, rhs)


@dataclass(frozen=True)
class IsNan(Composite):
    """Whether ``input`` is NaN, the one number that does not equal itself (ONNX IsNaN)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        number = _comparable(e, input)
        return e.add(Not(), e.add(Equal(), number, number))


@dataclass(frozen=True)
class IsInf(Composite):
    """Whether ``input`` is infinite, and of a sign that is asked for (ONNX IsInf)"""

    positive: bool = True
    negative: bool = True

    def expand(self, e: Emitter[T], input: T) -> T:
        number = _comparable(e, input)
        if self.positive and self.negative:
            number = e.add(Abs(), number)
        infinity = scalar(e, math.inf if self.positive else -math.inf, number)
        if not (self.positive or self.negative):
            return e.add(Less(), number, infinity)
        return e.add(Equal(), number, infinity)


def _comparable(e: Emitter[T], input: T) -> T:
    kind = e.type_of(input).kind
    if not kind.is_float:
        raise TypeMismatch(f"only floats can be NaN or infinite; not {e.type_of(input)}")
    return input if kind in FLOATS else e.add(Cast(Kind.F32), input)
