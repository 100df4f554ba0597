"""Arithmetic on vectors with the meaning that NumPy and ONNX give it: NaN, zero divisors, far shifts, overflow.

Integers have no sign in LLVM; where it matters, ``signed`` says how to take them.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence

from glowpy_backends.cpu.builder import F64, I32, I64, Builder, Ssa, constant, zero
from glowpy_backends.cpu.libm import libm


def same(value: float, like: Ssa) -> Ssa:
    """A constant of the type of ``like``."""
    return constant(value, like.type)


def bits(b: Builder, x: Ssa) -> Ssa:
    """The float's representation, as an integer."""
    return b.cast("bitcast", x, x.type.with_element(I64 if x.type.scalar == F64 else I32))


def polynomial(b: Builder, x: Ssa, coefficients: Sequence[float]) -> Ssa:
    """``c[0] + c[1] x + c[2] x² + …`` by Horner's rule."""
    result = same(coefficients[-1], x)
    for coefficient in reversed(coefficients[:-1]):
        result = b.fma(result, x, same(coefficient, x))
    return result


# Of x86's two operands, maxps and minps give the second one if either is NaN; LLVM takes a comparison and a
# selection of the same two values in the same order for that instruction.


def at_least(b: Builder, bound: Ssa, x: Ssa) -> Ssa:
    """The larger of a bound that is not NaN, and ``x``; NaN if ``x`` is. One instruction."""
    return b.select(b.compare("ogt", bound, x), bound, x)


def at_most(b: Builder, bound: Ssa, x: Ssa) -> Ssa:
    """The smaller of a bound that is not NaN, and ``x``; NaN if ``x`` is. One instruction."""
    return b.select(b.compare("olt", bound, x), bound, x)


def clamp(b: Builder, x: Ssa, low: float, high: float) -> Ssa:
    """``x`` within bounds; NaN if it is NaN."""
    return at_most(b, same(high, x), at_least(b, same(low, x), x))


def maximum(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """The larger one; NaN if either is (``numpy.maximum``)."""
    if not x.type.is_float:
        return b.intrinsic("smax" if signed else "umax", x, y)
    if _is_number(x):
        return at_least(b, x, y)
    return at_least(b, y, x) if _is_number(y) else _unless_nan(b, x, at_least(b, x, y))


def minimum(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """The smaller one; NaN if either is (``numpy.minimum``)."""
    if not x.type.is_float:
        return b.intrinsic("smin" if signed else "umin", x, y)
    if _is_number(x):
        return at_most(b, x, y)
    return at_most(b, y, x) if _is_number(y) else _unless_nan(b, x, at_most(b, x, y))


def _is_number(x: Ssa) -> bool:
    """Whether ``x`` is a constant, and not NaN."""
    literal = re.search("0x([0-9A-F]{16})", x.name)
    if literal is None:
        return x.name == "zeroinitializer"
    (value,) = struct.unpack(">d", bytes.fromhex(literal[1]))
    return not math.isnan(value)


def _unless_nan(b: Builder, x: Ssa, otherwise: Ssa) -> Ssa:
    return b.select(b.compare("uno", x, x), x, otherwise)


def absolute(b: Builder, x: Ssa, signed: bool = True) -> Ssa:
    """``|x|``; the smallest integer stays as it is."""
    if x.type.is_float:
        return b.intrinsic("fabs", x)
    return b.select(b.compare("slt", x, zero(x.type)), b.neg(x), x) if signed else x


def sign(b: Builder, x: Ssa, signed: bool = True) -> Ssa:
    """1, 0 or -1; NaN of NaN."""
    if not x.type.is_float:
        positive = b.cast("zext", b.compare("ne", x, zero(x.type)), x.type)
        return b.select(b.compare("slt", x, zero(x.type)), same(-1, x), positive) if signed else positive
    below = b.select(b.compare("olt", x, zero(x.type)), same(-1, x), x)
    return b.select(b.compare("ogt", x, zero(x.type)), same(1, x), below)


def divide(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """The quotient; of integers rounded toward zero, and 0 where ``y`` is 0."""
    if x.type.is_float:
        return b.op("fdiv", x, y)
    by_zero = b.compare("eq", y, zero(y.type))
    if not signed:
        return b.select(by_zero, zero(x.type), _quotient(b, x, b.select(by_zero, same(1, y), y), signed))
    # The smallest integer by -1 overflows, which the processor takes as badly as a division by zero.
    by_minus_one = b.compare("eq", y, same(-1, y))
    quotient = _quotient(b, x, b.select(b.op("or", by_zero, by_minus_one), same(1, y), y), signed)
    return b.select(by_zero, zero(x.type), b.select(by_minus_one, b.neg(x), quotient))


def remainder(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """What division leaves over, with the sign of ``x``; where ``y`` is 0, NaN, of integers 0."""
    if x.type.is_float:
        return libm(b, "fmod", x, y)
    rest = b.op("sub", x, b.op("mul", divide(b, x, y, signed), y))
    return b.select(b.compare("eq", y, zero(y.type)), zero(x.type), rest)


def _quotient(b: Builder, x: Ssa, y: Ssa, signed: bool) -> Ssa:
    """Integers up to 32 bits divide exactly as f64, of which processors have vectors."""
    if x.type.element_bytes > 4 or not x.type.lanes:
        return b.op("sdiv" if signed else "udiv", x, y)
    enter, leave = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
    double = x.type.with_element(F64)
    return b.cast(leave, b.op("fdiv", b.cast(enter, x, double), b.cast(enter, y, double)), x.type)


def power_of_integer(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """``x ** y``, wrapping around; rounded toward zero if ``y`` is negative."""
    one, none = same(1, x), zero(x.type)

    def square(_: object, carried: list[Ssa]) -> list[Ssa]:
        result, factor, exponent = carried
        odd = b.compare("ne", b.op("and", exponent, one), none)
        multiplied = b.select(odd, b.op("mul", result, factor), result)
        return [multiplied, b.op("mul", factor, factor), b.op("lshr", exponent, one)]

    power, *_ = b.loop(0, 8 * x.type.element_bytes, 1, square, [one, x, y])
    if not signed:
        return power
    is_unit = b.op("or", b.compare("eq", x, one), b.compare("eq", x, same(-1, x)))
    negative = b.compare("slt", y, none)
    # The powers of 1 and -1 have a period of two, so that any exponent of the same last bit serves.
    return b.select(b.op("and", negative, b.op("xor", is_unit, constant(1, is_unit.type))), none, power)


def shift_left(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    """``x << y``; 0 if ``y`` is negative or not less than the number of bits."""
    far = b.compare("uge", y, same(8 * x.type.element_bytes, y))
    return b.select(far, zero(x.type), b.op("shl", x, b.select(far, zero(y.type), y)))


def shift_right(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """``x >> y``; if ``y`` is negative or not less than the number of bits, the sign bit alone is left."""
    last = 8 * x.type.element_bytes - 1
    far = b.compare("ugt", y, same(last, y))
    if signed:
        return b.op("ashr", x, b.select(far, same(last, y), y))
    return b.select(far, zero(x.type), b.op("lshr", x, b.select(far, zero(y.type), y)))


def equal(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    """The mask of ``x == y``; false for NaN."""
    return b.compare("oeq" if x.type.is_float else "eq", x, y)


def less(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """The mask of ``x < y``; false for NaN."""
    return b.compare("olt" if x.type.is_float else "slt" if signed else "ult", x, y)


def less_or_equal(b: Builder, x: Ssa, y: Ssa, signed: bool = True) -> Ssa:
    """The mask of ``x <= y``; false for NaN."""
    return b.compare("ole" if x.type.is_float else "sle" if signed else "ule", x, y)


def invert(b: Builder, x: Ssa) -> Ssa:
    """All bits of integers, or a mask, inverted."""
    return b.op("xor", x, same(1 if x.type.element == "i1" else -1, x))


def floor(b: Builder, x: Ssa) -> Ssa:
    """The largest integer that is not above ``x``."""
    return b.intrinsic("floor", x)


def ceil(b: Builder, x: Ssa) -> Ssa:
    """The smallest integer that is not below ``x``."""
    return b.intrinsic("ceil", x)


def round_even(b: Builder, x: Ssa) -> Ssa:
    """The nearest integer, and of two the even one."""
    return b.intrinsic("roundeven", x)


def square_root(b: Builder, x: Ssa) -> Ssa:
    """The square root, correctly rounded."""
    return b.intrinsic("sqrt", x)
