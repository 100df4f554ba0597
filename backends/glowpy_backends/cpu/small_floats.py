"""Floats of eight bits and less: widened to f32 to compute with, and rounded back, of two nearest to the even one.

In memory each takes a byte, as in ml_dtypes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glowpy_backends.cpu.arithmetic import absolute, bits, same
from glowpy_backends.cpu.builder import F32, I8, I32, Builder, Ssa, constant
from glowpy_ir.types import Kind


@dataclass(frozen=True, slots=True)
class Format:
    """What the bits of a float mean; codes are those of positive numbers, of which the sign bit is not set."""

    mantissa: int
    """Bits behind the point."""
    bias: int
    """The exponent is its field minus this."""
    most: int
    """The code of the largest number."""
    beyond: int
    """The code of what is larger."""
    nan: int
    infinity: int | None = None
    sign: int = 0x80
    negative_zero: bool = True
    """Whether zero and NaN have a sign; without, the bit that would be the sign of zero is NaN."""


FORMATS: Mapping[Kind, Format] = {
    Kind.F8E4M3FN: Format(mantissa=3, bias=7, most=0x7E, beyond=0x7F, nan=0x7F),
    Kind.F8E4M3FNUZ: Format(mantissa=3, bias=8, most=0x7F, beyond=0x80, nan=0x80, negative_zero=False),
    Kind.F8E5M2: Format(mantissa=2, bias=15, most=0x7B, beyond=0x7C, nan=0x7E, infinity=0x7C),
    Kind.F8E5M2FNUZ: Format(mantissa=2, bias=16, most=0x7F, beyond=0x80, nan=0x80, negative_zero=False),
    Kind.F4E2M1: Format(mantissa=1, bias=1, most=0x7, beyond=0x7, nan=0x8, sign=0x8),
}


def widen_small(b: Builder, x: Ssa, kind: Kind) -> Ssa:
    """The f32 of a byte in memory; exact."""
    code = b.cast("zext", x, x.type.with_element(I32))
    if kind is Kind.F8E8M0:
        return _power(b, code)
    format = FORMATS[kind]
    magnitude = b.op("and", code, same(format.sign - 1, code))
    shifted = b.op("shl", magnitude, same(23 - format.mantissa, code))
    normal = _float(b, b.op("add", shifted, same((127 - format.bias) << 23, code)))
    steps = b.cast("uitofp", magnitude, x.type.with_element(F32))
    denormal = b.op("fmul", steps, same(2.0 ** (1 - format.bias - format.mantissa), steps))
    is_denormal = b.compare("ult", magnitude, same(1 << format.mantissa, code))
    result = b.select(is_denormal, denormal, normal)
    if format.infinity is not None:
        infinite = constant(float("inf"), result.type)
        result = b.select(b.compare("eq", magnitude, same(format.infinity, code)), infinite, result)
        is_nan = b.compare("ugt", magnitude, same(format.infinity, code))
    else:
        is_nan = b.compare("eq", magnitude if format.negative_zero else code, same(format.nan, code))
    if format.nan != format.sign or not format.negative_zero:
        result = b.select(is_nan, constant(float("nan"), result.type), result)
    sign = b.op("and", code, same(format.sign, code))
    sign = b.op("shl", sign, same(31 - format.sign.bit_length() + 1, code))
    return _float(b, b.op("or", bits(b, result), sign))


def narrow_small(b: Builder, x: Ssa, kind: Kind) -> Ssa:
    """The byte of the number that is nearest to an f32; for f8e8m0 that must be a power of two already, or NaN."""
    if kind is Kind.F8E8M0:
        i = bits(b, x)
        return b.cast("trunc", b.op("lshr", i, same(23, i)), x.type.with_element(I8))
    format = FORMATS[kind]
    magnitude = absolute(b, x)
    i = bits(b, magnitude)
    shift = 23 - format.mantissa
    even = b.op("and", b.op("lshr", i, same(shift, i)), same(1, i))
    rounded = b.op("lshr", b.op("add", b.op("add", i, even), same((1 << shift - 1) - 1, i)), same(shift, i))
    normal = b.op("sub", rounded, same((127 - format.bias) << format.mantissa, i))
    # The last bit of the sum with this number is the smallest step.
    step = same(2.0 ** (24 - format.bias - format.mantissa), x)
    denormal = b.op("sub", bits(b, b.op("fadd", magnitude, step)), bits(b, step))
    code = b.select(b.compare("olt", magnitude, same(2.0 ** (1 - format.bias), x)), denormal, normal)
    code = b.select(b.compare("sgt", code, same(format.most, i)), same(format.beyond, i), code)
    code = b.select(b.compare("uno", x, x), same(format.nan, i), code)
    sign = b.op("lshr", b.op("and", bits(b, x), same(-(1 << 31), i)), same(31 - format.sign.bit_length() + 1, i))
    if not format.negative_zero:
        is_number = b.op("and", b.compare("ne", code, same(0, i)), b.compare("ult", code, same(format.sign, i)))
        sign = b.select(is_number, sign, same(0, i))
    return b.cast("trunc", b.op("or", code, sign), x.type.with_element(I8))


def round_to_small(b: Builder, x: Ssa, kind: Kind) -> Ssa:
    """An f32 with the precision and range of ``kind``."""
    return widen_small(b, narrow_small(b, x, kind), kind)


def _power(b: Builder, code: Ssa) -> Ssa:
    """The power of two whose exponent is a byte minus 127; NaN of 255."""
    result = b.op("shl", code, same(23, code))
    result = b.select(b.compare("eq", code, same(0, code)), same(1 << 22, code), result)
    return _float(b, b.select(b.compare("eq", code, same(0xFF, code)), same(0x7FC00000, code), result))


def _float(b: Builder, i: Ssa) -> Ssa:
    return b.cast("bitcast", i, i.type.with_element(F32))
