"""16-bit floats: widened to f32 to compute with, and rounded back, of two nearest to the even one.

LLVM calls functions for this that no library here has, wherever the processor lacks the instruction.
"""

from __future__ import annotations

from glowpy_backends.cpu.arithmetic import absolute, bits, same
from glowpy_backends.cpu.builder import BF16, F16, F32, I16, I32, Builder, Ssa, Type, constant


def as_bits(b: Builder, x: Ssa) -> Ssa:
    """16-bit floats as integers; anything else as it is.

    That is how they must wait while something branches: as floats, LLVM passes them on by way of those functions.
    """
    return b.cast("bitcast", x, x.type.with_element(I16)) if x.type.scalar in (F16, BF16) else x


def widen_half(b: Builder, x: Ssa) -> Ssa:
    """The f32 of a ``half`` or a ``bfloat``; exact."""
    type = x.type.with_element(F32)
    if x.type.scalar == F16 and _has_instruction(b):
        return b.cast("fpext", x, type)
    i = b.cast("zext", b.cast("bitcast", x, x.type.with_element(I16)), x.type.with_element(I32))
    if x.type.scalar == BF16:
        return b.cast("bitcast", b.op("shl", i, same(16, i)), type)
    magnitude = b.op("shl", b.op("and", i, same(0x7FFF, i)), same(13, i))
    finite = bits(b, b.op("fmul", b.cast("bitcast", magnitude, type), constant(2.0**112, type)))
    special = b.op("or", magnitude, same(0x7F800000, i))
    is_special = b.compare("uge", magnitude, same(0x7C00 << 13, i))
    sign = b.op("shl", b.op("and", i, same(0x8000, i)), same(16, i))
    return b.cast("bitcast", b.op("or", b.select(is_special, special, finite), sign), type)


def narrow_half(b: Builder, x: Ssa, element: Type) -> Ssa:
    """The ``half`` or ``bfloat`` nearest to an f32."""
    type = x.type.with_element(element)
    if element == F16 and _has_instruction(b):
        return b.cast("fptrunc", x, type)
    rounded = _round_to_bfloat(b, x) if element == BF16 else _round_to_half(b, x)
    return b.cast("bitcast", b.cast("trunc", rounded, x.type.with_element(I16)), type)


def widen(b: Builder, x: Ssa, element: Type) -> Ssa:
    """A float as one of ``element``, which is no narrower; anything else as it is."""
    if x.type.scalar in (F16, BF16) and element not in (F16, BF16):
        x = widen_half(b, x)
    return b.cast("fpext", x, x.type.with_element(element))


def narrow(b: Builder, x: Ssa, element: Type) -> Ssa:
    """The float of ``element``, which is no wider, that is nearest to a float; anything else as it is."""
    if element in (F16, BF16) and x.type.scalar not in (F16, BF16):
        return narrow_half(b, b.cast("fptrunc", x, x.type.with_element(F32)), element)
    return b.cast("fptrunc", x, x.type.with_element(element))


def round_to_half(b: Builder, x: Ssa, element: Type) -> Ssa:
    """An f32 with the precision and range of ``element``."""
    return widen_half(b, narrow_half(b, x, element))


def _has_instruction(b: Builder) -> bool:
    return b.target.has("f16c") or b.target.architecture != "x86_64"


def _round_to_bfloat(b: Builder, x: Ssa) -> Ssa:
    i = bits(b, x)
    upper = b.op("lshr", i, same(16, i))
    even = b.op("and", upper, same(1, i))
    rounded = b.op("lshr", b.op("add", i, b.op("add", even, same(0x7FFF, i))), same(16, i))
    return b.select(b.compare("uno", x, x), b.op("or", upper, same(0x40, i)), rounded)


def _round_to_half(b: Builder, x: Ssa) -> Ssa:
    i = bits(b, x)
    magnitude = absolute(b, x)
    m = bits(b, magnitude)
    even = b.op("and", b.op("lshr", m, same(13, m)), same(1, m))
    rounded = b.op("add", b.op("sub", m, same((112 << 23) - 0xFFF, m)), even)
    normal = b.op("lshr", rounded, same(13, m))
    # A half's smallest denormal is the last bit of an f32 around 1/2.
    denormal = b.op("sub", bits(b, b.op("fadd", magnitude, same(0.5, x))), bits(b, same(0.5, x)))
    result = b.select(b.compare("olt", magnitude, same(2.0**-14, x)), denormal, normal)
    result = b.select(b.compare("oge", magnitude, same(65520.0, x)), same(0x7C00, m), result)
    result = b.select(b.compare("uno", x, x), same(0x7E00, m), result)
    sign = b.op("and", b.op("lshr", i, same(16, i)), same(0x8000, i))
    return b.op("or", result, sign)
