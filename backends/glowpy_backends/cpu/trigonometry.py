"""Sines, tangents and their inverses of f32 vectors, by way of f64; of f64 by way of the C library.

Accurate to 1 unit in the last place. The coefficients are minimax fits like those of ``exponentials.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from glowpy_backends.cpu.arithmetic import absolute, bits, polynomial, same, square_root
from glowpy_backends.cpu.builder import F32, F64, I1, Builder, Ssa
from glowpy_backends.cpu.libm import is_double, libm

_SIN = (-0.16666666641425987, 0.008333329362234552, -0.00019839327124884006, 2.7182371833549546e-06)
"""``(sin(r) / r - 1) / r**2`` as a polynomial in ``r**2``, for ``|r| <= π/4``"""
_COS = (0.04166666662247582, -0.0013888883722537912, 2.4799511744771536e-05, -2.7209546391754147e-07)
"""``(cos(r) - 1 + r**2 / 2) / r**4`` likewise"""
_ATAN = (
    -0.33333332505543345, 0.1999990432590002, -0.1428201597468268,
    0.11044752869020427, -0.084764094527856, 0.04743960088494992,
)  # fmt: skip
"""``(atan(t) / t - 1) / t**2`` as a polynomial in ``t**2``, for ``|t| <= tan(π/8)``"""

_LARGE = 2.0**20
"""Up to here, angles are reduced by multiples of π/2 that are exact in each of three parts."""
_HALF_PI_PARTS = (
    float.fromhex("0x1.921fb544p+0"),
    float.fromhex("0x1.0b4611a6p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)
_ROUND = 1.5 * 2.0**52
"""Added, it rounds an f64 to an integer, which the last bits of the sum then show."""


def sin(b: Builder, x: Ssa) -> Ssa:
    """The sine of an angle in radians"""
    return _periodic(b, "sin", x)


def cos(b: Builder, x: Ssa) -> Ssa:
    """The cosine of an angle in radians"""
    return _periodic(b, "cos", x)


def tan(b: Builder, x: Ssa) -> Ssa:
    """The tangent of an angle in radians"""
    return _periodic(b, "tan", x)


def _periodic(b: Builder, name: str, x: Ssa) -> Ssa:
    if is_double(x.type):
        return libm(b, name, x)
    large = b.compare("ogt", absolute(b, x), same(_LARGE, x))
    moderate = _of_moderate(b, name, x)
    (result,) = b.branch(_any(b, large), lambda: [b.select(large, libm(b, name, x), moderate)], lambda: [moderate])
    return result


def _any(b: Builder, mask: Ssa) -> Ssa:
    if not mask.type.lanes:
        return mask
    name = f"llvm.vector.reduce.or.{mask.type.mangled}"
    b.declare(name, I1, [mask.type])
    return b.call(name, [mask], I1)


def _of_moderate(b: Builder, name: str, x: Ssa) -> Ssa:
    """The function for angles that are not large: ``x = q π/2 + r``, and the quadrant ``q`` says what to do with r."""
    wide = b.cast("fpext", x, x.type.with_element(F64))
    rounded = b.fma(wide, same(2 / math.pi, wide), same(_ROUND, wide))
    n = b.op("fsub", rounded, same(_ROUND, wide))
    r = wide
    for part in _HALF_PI_PARTS:
        r = b.fma(n, same(-part, wide), r)
    square = b.op("fmul", r, r)
    sine = b.fma(b.op("fmul", r, square), polynomial(b, square, _SIN), r)
    tail = b.fma(b.op("fmul", square, square), polynomial(b, square, _COS), same(1, r))
    cosine = b.fma(square, same(-0.5, r), tail)

    quadrant = bits(b, rounded)
    odd = _has_bit(b, quadrant, 1)
    if name == "tan":
        result = b.op("fdiv", b.select(odd, b.neg(cosine), sine), b.select(odd, sine, cosine))
    else:
        straight, crossed = (sine, cosine) if name == "sin" else (cosine, sine)
        result = b.select(odd, crossed, straight)
        turned = quadrant if name == "sin" else b.op("add", quadrant, same(1, quadrant))
        result = b.select(_has_bit(b, turned, 2), b.neg(result), result)
    return b.cast("fptrunc", result, result.type.with_element(F32))


def _has_bit(b: Builder, x: Ssa, bit: int) -> Ssa:
    return b.compare("ne", b.op("and", x, same(bit, x)), same(0, x))


def atan(b: Builder, x: Ssa) -> Ssa:
    """The inverse tangent, in [-π/2, π/2]"""
    return _inverse(b, "atan", x, lambda wide: _atan_64(b, wide))


def asin(b: Builder, x: Ssa) -> Ssa:
    """The inverse sine, in [-π/2, π/2]: ``atan(x / sqrt((1 - x) (1 + x)))``"""

    def compute(wide: Ssa) -> Ssa:
        one = same(1, wide)
        cosine = square_root(b, b.op("fmul", b.op("fsub", one, wide), b.op("fadd", one, wide)))
        return _atan_64(b, b.op("fdiv", wide, cosine))

    return _inverse(b, "asin", x, compute)


def acos(b: Builder, x: Ssa) -> Ssa:
    """The inverse cosine, in [0, π]: ``2 atan(sqrt((1 - x) / (1 + x)))``"""

    def compute(wide: Ssa) -> Ssa:
        one = same(1, wide)
        half = _atan_64(b, square_root(b, b.op("fdiv", b.op("fsub", one, wide), b.op("fadd", one, wide))))
        return b.op("fadd", half, half)

    return _inverse(b, "acos", x, compute)


def _inverse(b: Builder, name: str, x: Ssa, compute: Callable[[Ssa], Ssa]) -> Ssa:
    if is_double(x.type):
        return libm(b, name, x)
    return b.cast("fptrunc", compute(b.cast("fpext", x, x.type.with_element(F64))), x.type)


def _atan_64(b: Builder, x: Ssa) -> Ssa:
    """The inverse tangent with a relative error of 3e-11: above 1 of ``1 / x``, then turned by π/4 if need be."""
    t = absolute(b, x)
    one = same(1, x)
    steep = b.compare("ogt", t, one)
    t = b.select(steep, b.op("fdiv", one, t), t)
    turned = b.compare("ogt", t, same(math.tan(math.pi / 8), x))
    t = b.select(turned, b.op("fdiv", b.op("fsub", t, one), b.op("fadd", t, one)), t)
    square = b.op("fmul", t, t)
    angle = b.fma(b.op("fmul", t, square), polynomial(b, square, _ATAN), t)
    angle = b.select(turned, b.op("fadd", angle, same(math.pi / 4, x)), angle)
    angle = b.select(steep, b.op("fsub", same(math.pi / 2, x), angle), angle)
    return b.intrinsic("copysign", angle, x)
