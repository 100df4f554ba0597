"""What each element-wise operator does to vectors: one row an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glowpy_backends.cpu import math
from glowpy_backends.cpu.builder import F32, Builder, Ssa, Type, constant, zero
from glowpy_backends.cpu.view import ELEMENTS
from glowpy_ir.op import Op
from glowpy_ir.ops import convert, functions, logic, remainder
from glowpy_ir.ops import elementwise as arithmetic
from glowpy_ir.types import Kind

Scalar = Callable[[Builder, Any, Sequence[Kind], Sequence[Ssa]], Ssa]
"""Takes the operator, the kinds of its operands and the operands; gives the result. Bools are masks."""


def instruction(floating: str, integer: str) -> Scalar:
    """One LLVM instruction for floats, another for integers."""
    return lambda b, op, kinds, values: b.op(floating if kinds[0].is_float else integer, *values)


def function(emit: Callable[..., Ssa]) -> Scalar:
    """A function of vectors."""
    return lambda b, op, kinds, values: emit(b, *values)


def intrinsic(name: str) -> Scalar:
    """An intrinsic of LLVM that the processor has, or libm."""
    return lambda b, op, kinds, values: b.intrinsic(name, *values)


def comparison(floating: str, integer: str) -> Scalar:
    """A mask; the predicate of integers is signed or not as their kind."""

    def emit(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
        sign = "" if integer == "eq" else "s" if kinds[0].is_signed else "u"
        return b.compare(floating if kinds[0].is_float else sign + integer, *values)

    return emit


def extremum(floating: Callable[[Builder, Ssa, Ssa], Ssa], integer: str) -> Scalar:
    """The larger or the smaller operand."""

    def emit(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
        lhs, rhs = values
        if kinds[0].is_float:
            return floating(b, lhs, rhs)
        return b.select(b.compare(("s" if kinds[0].is_signed else "u") + integer, lhs, rhs), lhs, rhs)

    return emit


def _divisor(b: Builder, kind: Kind, divisor: Ssa) -> tuple[Ssa, Ssa, Ssa]:
    """A divisor at which no processor traps: 1 for 0 and -1; and masks of where these two stood."""
    is_zero = b.compare("eq", divisor, zero(divisor.type))
    is_minus = b.compare("eq", divisor, constant(-1, divisor.type)) if kind.is_signed else is_zero
    return b.select(b.op("or", is_zero, is_minus), constant(1, divisor.type), divisor), is_zero, is_minus


def divide(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """The quotient; of integers rounded toward zero, and 0 where the divisor is."""
    lhs, rhs = values
    if kinds[0].is_float:
        return b.op("fdiv", lhs, rhs)
    safe, is_zero, is_minus = _divisor(b, kinds[0], rhs)
    quotient = b.op("sdiv" if kinds[0].is_signed else "udiv", lhs, safe)
    if kinds[0].is_signed:
        quotient = b.select(is_minus, b.neg(lhs), quotient)
    return b.select(is_zero, zero(lhs.type), quotient)


def remain(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """What is left, with the sign of the dividend; of integers 0 where the divisor is."""
    lhs, rhs = values
    if kinds[0].is_float:
        return math.by_lanes("fmod")(b, lhs, rhs)
    safe, _, _ = _divisor(b, kinds[0], rhs)
    return b.op("srem" if kinds[0].is_signed else "urem", lhs, safe)


def power(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """``lhs ** rhs``"""
    if kinds[0].is_float:
        return math.by_lanes("pow")(b, *values)
    return _integer_power(b, kinds[0], *values)


def _integer_power(b: Builder, kind: Kind, base: Ssa, exponent: Ssa) -> Ssa:
    """By repeated squaring; a negative exponent leaves what numbers of one have, and 0 of the others."""
    one, nothing = constant(1, base.type), zero(base.type)
    result, square, left = one, base, exponent
    for _ in range(8 * base.type.element_bytes):
        odd = b.compare("ne", b.op("and", left, one), nothing)
        result = b.select(odd, b.op("mul", result, square), result)
        square, left = b.op("mul", square, square), b.op("lshr", left, one)
    if not kind.is_signed:
        return result
    is_one = b.compare("eq", base, one)
    is_minus = b.compare("eq", base, constant(-1, base.type))
    odd = b.compare("ne", b.op("and", exponent, one), nothing)
    sign = b.select(b.op("and", is_minus, odd), constant(-1, base.type), one)
    inverse = b.select(b.op("or", is_one, is_minus), b.select(is_one, one, sign), nothing)
    return b.select(b.compare("slt", exponent, nothing), inverse, result)


def absolute(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """The distance from zero."""
    (x,) = values
    if kinds[0].is_float:
        return b.intrinsic("fabs", x)
    if not kinds[0].is_signed:
        return x
    return b.select(b.compare("slt", x, zero(x.type)), b.neg(x), x)


def sign(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """-1, 0 or 1; NaN for NaN."""
    (x,) = values
    above, below = ("ogt", "olt") if kinds[0].is_float else ("sgt", "slt") if kinds[0].is_signed else ("ugt", "ult")
    negative = b.select(b.compare(below, x, zero(x.type)), constant(-1, x.type), x)
    return b.select(b.compare(above, x, zero(x.type)), constant(1, x.type), negative)


def invert(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """All bits turned over."""
    return b.op("xor", values[0], constant(-1, values[0].type))


def shift(left: bool) -> Scalar:
    """Bits moved; as many as there are leave only the sign."""

    def emit(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
        value, count = values
        bits = 8 * value.type.element_bytes
        fits = b.compare("ult", count, constant(bits, count.type))
        if not left and kinds[0].is_signed:
            return b.op("ashr", value, b.select(fits, count, constant(bits - 1, count.type)))
        moved = b.op("shl" if left else "lshr", value, b.select(fits, count, zero(count.type)))
        return b.select(fits, moved, zero(value.type))

    return emit


def cast(b: Builder, op: convert.Cast, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """The same number as another kind."""
    (x,), (kind,) = values, kinds
    if kind is op.to:
        return x
    if op.to is Kind.BOOL:
        return b.compare("une" if kind.is_float else "ne", x, zero(x.type))
    if op.to.is_float:
        return _to_float(b, x, kind, op.to)
    element = x.type.with_element(ELEMENTS[op.to])
    if kind.is_float:
        return _saturated(b, x, element, op.to.is_signed)
    if element.element_bytes < x.type.element_bytes and kind is not Kind.BOOL:
        return b.cast("trunc", x, element)
    if kind is not Kind.BOOL and element == x.type:
        return x
    return b.cast("sext" if kind.is_signed and kind is not Kind.BOOL else "zext", x, element)


def _to_float(b: Builder, x: Ssa, kind: Kind, to: Kind) -> Ssa:
    wide = x.type.with_element(F32 if to.nbytes < 4 else ELEMENTS[to])
    if not kind.is_float:
        value = b.cast("sitofp" if kind.is_signed and kind is not Kind.BOOL else "uitofp", x, wide)
    elif wide.element_bytes == x.type.element_bytes:
        value = x
    else:
        value = b.cast("fpext" if wide.element_bytes > x.type.element_bytes else "fptrunc", x, wide)
    if to.nbytes < 4:  # in registers halves are float32, but no more exact than in memory
        half = value.type.with_element(ELEMENTS[to])
        value = b.cast("fpext", b.cast("fptrunc", value, half), value.type)
    return value


def _saturated(b: Builder, x: Ssa, to: Type, signed: bool) -> Ssa:
    """Floats as integers: the nearest that there is, 0 for NaN."""
    name = f"llvm.fpto{'s' if signed else 'u'}i.sat.{to.mangled}.{x.type.mangled}"
    b.declare(name, to, [x.type])
    return b.call(name, [x], to)


SCALARS: Mapping[type[Op], Scalar] = {
    arithmetic.Add: instruction("fadd", "add"),
    arithmetic.Div: divide,
    arithmetic.Max: extremum(math.maximum, "gt"),
    arithmetic.Min: extremum(math.minimum, "lt"),
    arithmetic.Mul: instruction("fmul", "mul"),
    arithmetic.Pow: power,
    arithmetic.Sub: instruction("fsub", "sub"),
    convert.Cast: cast,
    functions.Abs: absolute,
    functions.Acos: function(math.by_lanes("acos")),
    functions.Acosh: function(math.by_lanes("acosh")),
    functions.Asin: function(math.by_lanes("asin")),
    functions.Asinh: function(math.by_lanes("asinh")),
    functions.Atan: function(math.by_lanes("atan")),
    functions.Atanh: function(math.by_lanes("atanh")),
    functions.Ceil: intrinsic("ceil"),
    functions.Cos: function(math.by_lanes("cos")),
    functions.Cosh: function(math.by_lanes("cosh")),
    functions.Erf: function(math.erf),
    functions.Exp: function(math.exp),
    functions.Floor: intrinsic("floor"),
    functions.Log: function(math.log),
    functions.Neg: lambda b, op, kinds, values: b.neg(values[0]),
    functions.Round: intrinsic("rint"),
    functions.Sigmoid: function(math.sigmoid),
    functions.Sign: sign,
    functions.Sin: function(math.by_lanes("sin")),
    functions.Sinh: function(math.by_lanes("sinh")),
    functions.Sqrt: intrinsic("sqrt"),
    functions.Tan: function(math.by_lanes("tan")),
    functions.Tanh: function(math.tanh),
    logic.And: instruction("", "and"),
    logic.Equal: comparison("oeq", "eq"),
    logic.Less: comparison("olt", "lt"),
    logic.LessOrEqual: comparison("ole", "le"),
    logic.Not: invert,
    logic.Or: instruction("", "or"),
    logic.Select: lambda b, op, kinds, values: b.select(*values),
    logic.ShiftLeft: shift(left=True),
    logic.ShiftRight: shift(left=False),
    logic.Xor: instruction("", "xor"),
    remainder.Remainder: remain,
}
