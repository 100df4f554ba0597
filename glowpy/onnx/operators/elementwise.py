"""Element-wise arithmetic, comparison, logic, functions of one operand, and conversion of element kinds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import reduce

from glowpy.onnx.context import Loader, NodeContext, Table
from glowpy_ir.graph import Value
from glowpy_ir.op import Op
from glowpy_ir.ops.convert import BitCast, Cast
from glowpy_ir.ops.elementwise import Add, Div, Max, Min, Mul, Pow, Reciprocal, Sub, scalar
from glowpy_ir.ops.functions import (
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    Log,
    Neg,
    Round,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
)
from glowpy_ir.ops.logic import (
    And,
    Equal,
    Greater,
    GreaterOrEqual,
    IsInf,
    IsNan,
    Less,
    LessOrEqual,
    Not,
    Or,
    Select,
    ShiftLeft,
    ShiftRight,
    Xor,
)
from glowpy_ir.ops.quantization import CastToPower, Rounding
from glowpy_ir.ops.reduction import cast
from glowpy_ir.ops.remainder import Mod, Remainder
from glowpy_ir.types import Kind


def applies(op: Op) -> Loader:
    """A loader for an ONNX operator that is ``op``."""
    return lambda c: c.b.add(op, *c.operands())


def folds(op: Op) -> Loader:
    """A loader for an ONNX operator that combines any number of operands by ``op``, from the left."""
    return lambda c: reduce(lambda lhs, rhs: c.b.add(op, lhs, rhs), c.operands())


def load_mean(c: NodeContext) -> Value:
    """ONNX Mean: the sum of all operands, divided by how many there are."""
    total = folds(Add())(c)
    assert isinstance(total, Value)
    return c.b.add(Div(), total, scalar(c.b, len(c.inputs), total))


def load_pow(c: NodeContext) -> Value:
    """ONNX Pow: the kind of the exponent may be another; the result has that of the base."""
    base, exponent = c.input(0), c.input(1)
    kind = power_kind(base.type.kind, exponent.type.kind)
    return cast(c.b, c.b.add(Pow(), cast(c.b, base, kind), cast(c.b, exponent, kind)), base.type.kind)


def power_kind(base: Kind, exponent: Kind) -> Kind:
    """The kind in which to compute a power."""
    if base is exponent or (base.is_float and exponent.is_integer):
        return base
    if exponent.is_integer:
        return Kind.I64
    return Kind.F64 if Kind.F64 in (base, exponent) or base.is_integer else Kind.F32


def load_mod(c: NodeContext) -> Value:
    """ONNX Mod: the sign is that of the divisor, or with ``fmod`` that of the dividend."""
    return c.b.add(Remainder() if c.attributes.flag("fmod", False) else Mod(), *c.operands())


class Direction(Enum):
    """Where bits are shifted to."""

    LEFT = "LEFT"
    RIGHT = "RIGHT"


def load_bit_shift(c: NodeContext) -> Value:
    """ONNX BitShift."""
    to_left = c.attributes.choice("direction", Direction) is Direction.LEFT
    return c.b.add(ShiftLeft() if to_left else ShiftRight(), *c.operands())


def load_is_inf(c: NodeContext) -> Value:
    """ONNX IsInf."""
    positive = c.attributes.flag("detect_positive", True)
    negative = c.attributes.flag("detect_negative", True)
    return c.b.add(IsInf(positive, negative), c.input(0))


def load_cast(c: NodeContext) -> Value:
    """ONNX Cast."""
    return cast_to(c, c.attributes.kind("to"))


def load_cast_like(c: NodeContext) -> Value:
    """ONNX CastLike: to the kind of the second operand."""
    return cast_to(c, c.type(1).kind)


def cast_to(c: NodeContext, to: Kind) -> Value:
    """The first operand as elements of another kind."""
    rounding = c.attributes.choice("round_mode", Rounding, Rounding.UP)
    saturate = c.attributes.flag("saturate", True)
    if c.type(0).kind is to:
        return c.input(0)
    return c.b.add(CastToPower(rounding, saturate) if to is Kind.F8E8M0 else Cast(to, saturate), c.input(0))


def load_bit_cast(c: NodeContext) -> Value:
    """ONNX BitCast."""
    return c.b.add(BitCast(c.attributes.kind("to")), c.input(0))


SAME: Mapping[tuple[str, int], Op] = {
    ("Abs", 6): Abs(),
    ("Acos", 7): Acos(),
    ("Acosh", 9): Acosh(),
    ("Add", 7): Add(),
    ("And", 7): And(),
    ("Asin", 7): Asin(),
    ("Asinh", 9): Asinh(),
    ("Atan", 7): Atan(),
    ("Atanh", 9): Atanh(),
    ("BitwiseAnd", 18): And(),
    ("BitwiseNot", 18): Not(),
    ("BitwiseOr", 18): Or(),
    ("BitwiseXor", 18): Xor(),
    ("Ceil", 6): Ceil(),
    ("Cos", 7): Cos(),
    ("Cosh", 9): Cosh(),
    ("Div", 7): Div(),
    ("Equal", 7): Equal(),
    ("Erf", 9): Erf(),
    ("Exp", 6): Exp(),
    ("Floor", 6): Floor(),
    ("Greater", 7): Greater(),
    ("GreaterOrEqual", 12): GreaterOrEqual(),
    ("IsNaN", 9): IsNan(),
    ("Less", 7): Less(),
    ("LessOrEqual", 12): LessOrEqual(),
    ("Log", 6): Log(),
    ("Mul", 7): Mul(),
    ("Neg", 6): Neg(),
    ("Not", 1): Not(),
    ("Or", 7): Or(),
    ("Reciprocal", 6): Reciprocal(),
    ("Round", 11): Round(),
    ("Sigmoid", 6): Sigmoid(),
    ("Sign", 9): Sign(),
    ("Sin", 7): Sin(),
    ("Sinh", 9): Sinh(),
    ("Sqrt", 6): Sqrt(),
    ("Sub", 7): Sub(),
    ("Tan", 7): Tan(),
    ("Tanh", 6): Tanh(),
    ("Where", 9): Select(),
    ("Xor", 7): Xor(),
}
"""ONNX operators that are one of ours, attributes and all."""

LOADERS: Table = {
    **{row: applies(op) for row, op in SAME.items()},
    ("BitShift", 11): load_bit_shift,
    ("BitCast", 26): load_bit_cast,
    ("Cast", 6): load_cast,
    ("CastLike", 15): load_cast_like,
    ("IsInf", 10): load_is_inf,
    ("Max", 6): folds(Max()),
    ("Mean", 6): load_mean,
    ("Min", 6): folds(Min()),
    ("Mod", 10): load_mod,
    ("Pow", 7): load_pow,
    ("Sum", 6): folds(Add()),
}
