"""Exponentials, logarithms, powers and hyperbolic functions of f32 vectors; of f64 by way of the C library.

Each is accurate to 2 units in the last place over the whole range (erf to 3), with the denormals, infinities and NaN
that IEEE 754 asks for, unless a docstring says that zeros stand for denormals. All follow one plan: a number is taken
apart into ``2**n`` and a factor near 1, and a polynomial does the rest. The coefficients are minimax fits in the
relative error, made for this file by iterated weighted least squares. Functions that networks use much stay in f32;
the others compute in f64, where cancellation does no harm.
"""

from __future__ import annotations

import math

from glowpy_backends.cpu.arithmetic import (
    absolute,
    at_least,
    at_most,
    bits,
    clamp,
    floor,
    polynomial,
    same,
    square_root,
)
from glowpy_backends.cpu.builder import F32, F64, I16, I32, Builder, Ssa, constant
from glowpy_backends.cpu.libm import is_double, libm

_LOG2_E = 1 / math.log(2)
_LN_2 = math.log(2)
_LN_2_HIGH = 0.693359375
"""Of so few bits that its products with exponents are exact."""
_LN_2_LOW = _LN_2 - _LN_2_HIGH

_LEAST = -87.3
"""``exp`` of no less than this is a normal number."""

_ROUND_32 = 1.5 * 2.0**23
"""Added, it rounds a float to an integer, which the last bits of the sum then show."""
_ROUND_64 = 1.5 * 2.0**52

_EXP = (0.49999994, 0.16666521, 0.04166839, 0.0083687454, 0.0013814538)
"""``(exp(r) - 1 - r) / r**2`` for ``|r| <= ln(2) / 2``"""
_EXP_64 = (
    0.49999999999663225, 0.16666666667266908, 0.04166666696296666, 0.0083333330946835,
    0.0013888811018869537, 0.00019841539268585276, 2.488087341102674e-05, 2.7493121841655677e-06,
)  # fmt: skip

_LOG = (
    0.33333313, -0.25000009, 0.20002119, -0.16667996, 0.14219551, -0.12405591, 0.11888175, -0.11675641, 0.067466013
)  # fmt: skip
"""``(log(1 + f) - f + f**2 / 2) / f**3`` for ``1 + f`` from ``sqrt(1/2)`` to ``sqrt(2)``"""
_LOG_64 = (
    0.33333333338137133, 0.19999997720513107, 0.14286065102991574, 0.11087618832936696, 0.09799393715378267
)  # fmt: skip
"""``(atanh(s) / s - 1) / s**2`` as a polynomial in ``s**2``, for ``s`` from the same range by ``(m - 1) / (m + 1)``"""

_ERF_SMALL = (0.12837917, -0.37612626, 0.11283585, -0.02685381, 0.0051883277, -0.00080100125, 7.853858e-05)
"""``erf(x) / x - 1`` as a polynomial in ``x**2``, for ``|x| <= 1``"""
_ERF_LARGE = (
    -0.00034151256, -1.1270893, -0.63814473, -0.10310682, 0.021838097, -0.0029476667, 0.00018638009
)  # fmt: skip
"""``log(1 - erf(x))`` for x from 1 to 4"""

_TANH = (-0.33333299, 0.13331924, -0.053783827, 0.020795964, -0.0058951504)
"""``(tanh(x) / x - 1) / x**2`` as a polynomial in ``x**2``, for ``|x| <= 0.6``"""

_SINH = (0.1666666648871785, 0.008333350598076935, 0.0001983606624550498, 2.8174396522662984e-06)
"""``(sinh(x) / x - 1) / x**2`` as a polynomial in ``x**2``, for ``|x| <= 1``"""


def exp(b: Builder, x: Ssa) -> Ssa:
    """``e ** x``"""
    if is_double(x.type):
        return libm(b, "exp", x)
    rounded, r = _reduce(b, clamp(b, x, -104, 89))
    return _scale(b, _exp_of_rest(b, r), rounded)


def _reduce(b: Builder, x: Ssa) -> tuple[Ssa, Ssa]:
    """``n + _ROUND_32`` and ``r`` so that ``x = n ln(2) + r``."""
    rounded = b.fma(x, same(_LOG2_E, x), same(_ROUND_32, x))
    n = b.op("fsub", rounded, same(_ROUND_32, x))
    return rounded, b.fma(n, same(-_LN_2_LOW, x), b.fma(n, same(-_LN_2_HIGH, x), x))


def _exp_of_rest(b: Builder, r: Ssa) -> Ssa:
    return b.fma(b.fma(polynomial(b, r, _EXP), r, same(1, r)), r, same(1, r))


def _exp_of_moderate(b: Builder, x: Ssa) -> Ssa:
    """``e ** x`` that is neither denormal nor infinite."""
    rounded, r = _reduce(b, x)
    return _scale(b, _exp_of_rest(b, r), rounded, moderate=True)


def exp_of_negative(b: Builder, x: Ssa) -> Ssa:
    """``e ** x`` for x up to 0; 0 where x is less than -87.3, near the end of normal numbers.

    Processors take a hundred times as long for denormal numbers, and of weights so small nobody is left to know.
    """
    if is_double(x.type):
        return libm(b, "exp", x)
    least = same(_LEAST, x)
    vanishes = b.compare("olt", x, least)
    return b.select(vanishes, same(0, x), _exp_of_moderate(b, at_least(b, least, x)))


def _scale(b: Builder, x: Ssa, rounded: Ssa, moderate: bool = False) -> Ssa:
    """``x * 2**n`` for n from -150 to 128, rounded once if the result is denormal; from -126 to 127 if ``moderate``."""
    if x.type == F32.vector(16) and b.target.has("avx512f"):
        n = b.op("fsub", rounded, same(_ROUND_32, x))
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        b.declare(name, x.type, [x.type, x.type, x.type, I16, I32])
        return b.call(name, [x, n, x, constant(-1, I16), constant(4, I32)], x.type)
    n = b.op("sub", bits(b, rounded), bits(b, same(_ROUND_32, x)))
    if moderate:
        return b.op("fmul", x, _power_of_two(b, n))
    half = b.op("ashr", n, same(1, n))
    return b.op("fmul", b.op("fmul", x, _power_of_two(b, half)), _power_of_two(b, b.op("sub", n, half)))


def _power_of_two(b: Builder, n: Ssa) -> Ssa:
    """``2**n`` for n from -126 to 127."""
    return b.cast("bitcast", b.op("shl", b.op("add", n, same(127, n)), same(23, n)), n.type.with_element(F32))


def log(b: Builder, x: Ssa) -> Ssa:
    """The natural logarithm"""
    if is_double(x.type):
        return libm(b, "log", x)
    denormal = b.compare("olt", x, same(2.0**-126, x))
    i = bits(b, b.select(denormal, b.op("fmul", x, same(2.0**23, x)), x))
    low = bits(b, same(math.sqrt(0.5), x))
    n = b.op("ashr", b.op("sub", i, low), same(23, i))
    m = b.cast("bitcast", b.op("sub", i, b.op("shl", n, same(23, i))), x.type)
    e = b.op("fsub", b.cast("sitofp", n, x.type), b.select(denormal, same(23, x), same(0, x)))
    f = b.op("fsub", m, same(1, x))
    square = b.op("fmul", f, f)
    tail = b.op("fmul", b.op("fmul", square, f), polynomial(b, f, _LOG))
    tail = b.fma(square, same(-0.5, x), b.fma(e, same(_LN_2_LOW, x), tail))
    result = b.fma(e, same(_LN_2_HIGH, x), b.op("fadd", f, tail))
    return _log_at_the_ends(b, x, result)


def _log_at_the_ends(b: Builder, x: Ssa, result: Ssa) -> Ssa:
    """The logarithm of ``x`` where ``result`` is not: of 0, of negative numbers, of infinity, of NaN."""
    end = b.select(b.compare("olt", x, same(0, x)), same(math.nan, x), x)
    end = b.select(b.compare("oeq", x, same(0, x)), same(-math.inf, x), end)
    inside = b.op("and", b.compare("ogt", x, same(0, x)), b.compare("olt", x, same(math.inf, x)))
    return b.select(inside, result, end)


def tanh(b: Builder, x: Ssa) -> Ssa:
    """The hyperbolic tangent: a polynomial near 0, else ``1 - 2 e / (1 + e)`` with ``e = exp(-2 |x|)``"""
    if is_double(x.type):
        return libm(b, "tanh", x)
    square = b.op("fmul", x, x)
    small = b.fma(b.op("fmul", x, square), polynomial(b, square, _TANH), x)
    magnitude = at_most(b, same(9.1, x), absolute(b, x))
    e = _exp_of_moderate(b, b.op("fmul", magnitude, same(-2, x)))
    quotient = b.op("fdiv", e, b.op("fadd", e, same(1, x)))
    large = b.intrinsic("copysign", b.fma(quotient, same(-2, x), same(1, x)), x)
    return b.select(b.compare("olt", magnitude, same(0.6, x)), small, large)


def sigmoid(b: Builder, x: Ssa) -> Ssa:
    """``1 / (1 + exp(-x))``: with ``e = exp(-|x|)`` and ``q = e / (1 + e)``, ``1 - q``, or ``e - e q`` left of 0

    It is 0 where it would be denormal.
    """
    e = exp_of_negative(b, b.neg(absolute(b, x)))
    q = b.op("fdiv", e, b.op("fadd", e, same(1, x)))
    left = b.compare("olt", x, same(0, x))
    scale = b.select(left, e, same(1, x))
    return b.fma(b.neg(scale), q, scale)


def erf(b: Builder, x: Ssa) -> Ssa:
    """The error function"""
    if is_double(x.type):
        return libm(b, "erf", x)
    magnitude = absolute(b, x)
    bounded = at_most(b, same(4, x), magnitude)
    rest = _exp_of_moderate(b, polynomial(b, bounded, _ERF_LARGE))
    large = b.intrinsic("copysign", b.op("fsub", same(1, x), rest), x)
    small = b.fma(polynomial(b, b.op("fmul", x, x), _ERF_SMALL), x, x)
    return b.select(b.compare("olt", magnitude, same(1, x)), small, large)


def power(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    """``x ** y`` for all cases of IEEE 754's pow"""
    if is_double(x.type):
        return libm(b, "pow", x, y)
    zero, one, infinity = same(0, x), same(1, x), same(math.inf, x)
    magnitude = absolute(b, x)
    inside = b.op("and", b.compare("ogt", magnitude, zero), b.compare("olt", magnitude, infinity))
    wide = _widen(b, b.select(inside, magnitude, one))
    end = _widen(b, b.select(b.compare("oeq", x, zero), same(-math.inf, x), infinity))
    logarithm = b.select(inside, _log_64(b, wide), end)
    result = _narrow(b, _exp_64(b, b.op("fmul", _widen(b, y), logarithm)))
    result = b.select(b.compare("oeq", magnitude, one), one, result)  # also for infinite y

    is_integer = b.compare("oeq", floor(b, y), y)
    half = b.op("fmul", y, same(0.5, y))
    is_odd = b.op("and", is_integer, b.compare("une", floor(b, half), half))
    result = b.select(is_odd, b.intrinsic("copysign", result, x), result)
    is_negative = b.op("and", b.compare("olt", x, zero), b.compare("ogt", x, b.neg(infinity)))
    undefined = b.op("and", is_negative, b.compare("une", floor(b, y), y))
    undefined = b.op("or", undefined, b.compare("uno", x, y))
    result = b.select(undefined, same(math.nan, x), result)
    is_one = b.op("or", b.compare("oeq", y, zero), b.compare("oeq", x, one))
    return b.select(is_one, one, result)


def sinh(b: Builder, x: Ssa) -> Ssa:
    """The hyperbolic sine"""
    if is_double(x.type):
        return libm(b, "sinh", x)
    wide = _widen(b, x)
    square = b.op("fmul", wide, wide)
    small = b.fma(b.op("fmul", wide, square), polynomial(b, square, _SINH), wide)
    e = _exp_64(b, wide)
    large = b.op("fmul", b.op("fsub", e, b.op("fdiv", same(1, e), e)), same(0.5, e))
    return _narrow(b, b.select(b.compare("olt", absolute(b, wide), same(1, wide)), small, large))


def cosh(b: Builder, x: Ssa) -> Ssa:
    """The hyperbolic cosine"""
    if is_double(x.type):
        return libm(b, "cosh", x)
    e = _exp_64(b, _widen(b, x))
    return _narrow(b, b.op("fmul", b.op("fadd", e, b.op("fdiv", same(1, e), e)), same(0.5, e)))


def asinh(b: Builder, x: Ssa) -> Ssa:
    """The inverse hyperbolic sine: ``log(x + sqrt(x**2 + 1))``"""
    if is_double(x.type):
        return libm(b, "asinh", x)
    wide = absolute(b, _widen(b, x))
    square = b.op("fmul", wide, wide)
    root = square_root(b, b.op("fadd", square, same(1, wide)))
    large = _log_64(b, b.op("fadd", wide, root))
    small = b.fma(b.op("fmul", wide, square), same(-1 / 6, wide), wide)
    result = b.select(b.compare("olt", wide, same(2.0**-10, wide)), small, large)
    result = b.select(b.compare("olt", wide, same(math.inf, wide)), result, wide)
    return b.intrinsic("copysign", _narrow(b, result), x)


def acosh(b: Builder, x: Ssa) -> Ssa:
    """The inverse hyperbolic cosine: ``log(x + sqrt(x**2 - 1))``"""
    if is_double(x.type):
        return libm(b, "acosh", x)
    wide = _widen(b, x)
    root = square_root(b, b.op("fsub", b.op("fmul", wide, wide), same(1, wide)))
    result = b.select(b.compare("olt", wide, same(math.inf, wide)), _log_64(b, b.op("fadd", wide, root)), wide)
    return _narrow(b, b.select(b.compare("olt", wide, same(1, wide)), same(math.nan, wide), result))


def atanh(b: Builder, x: Ssa) -> Ssa:
    """The inverse hyperbolic tangent: ``log((1 + x) / (1 - x)) / 2``"""
    if is_double(x.type):
        return libm(b, "atanh", x)
    wide = absolute(b, _widen(b, x))
    one = same(1, wide)
    quotient = b.op("fdiv", b.op("fadd", one, wide), b.op("fsub", one, wide))
    large = b.op("fmul", _log_64(b, quotient), same(0.5, wide))
    small = b.fma(b.op("fmul", wide, b.op("fmul", wide, wide)), same(1 / 3, wide), wide)
    result = b.select(b.compare("olt", wide, same(2.0**-10, wide)), small, large)
    end = b.select(b.compare("oeq", wide, one), same(math.inf, wide), same(math.nan, wide))
    return b.intrinsic("copysign", _narrow(b, b.select(b.compare("olt", wide, one), result, end)), x)


def _widen(b: Builder, x: Ssa) -> Ssa:
    return b.cast("fpext", x, x.type.with_element(F64))


def _narrow(b: Builder, x: Ssa) -> Ssa:
    return b.cast("fptrunc", x, x.type.with_element(F32))


def _exp_64(b: Builder, x: Ssa) -> Ssa:
    """``e ** x`` of f64 with a relative error of 1e-13; beyond what is 0 or infinite in f32, no matter what."""
    x = clamp(b, x, -200, 200)
    rounded = b.fma(x, same(_LOG2_E, x), same(_ROUND_64, x))
    n = b.op("fsub", rounded, same(_ROUND_64, x))
    r = b.fma(n, same(-_LN_2, x), x)
    rest = b.fma(b.fma(polynomial(b, r, _EXP_64), r, same(1, x)), r, same(1, x))
    i = bits(b, rounded)
    shifted = b.op("add", b.op("shl", i, same(52, i)), same(1023 << 52, i))
    return b.op("fmul", rest, b.cast("bitcast", shifted, x.type))


def _log_64(b: Builder, x: Ssa) -> Ssa:
    """The logarithm of positive normal f64 with a relative error of 1e-13."""
    i = bits(b, x)
    low = bits(b, same(math.sqrt(0.5), x))
    biased = b.op("lshr", b.op("add", b.op("sub", i, low), same(1023 << 52, i)), same(52, i))
    m = b.cast("bitcast", b.op("add", b.op("sub", i, b.op("shl", biased, same(52, i))), same(1023 << 52, i)), x.type)
    # Below 2**52, an integer is the low bits of 2**52 plus itself.
    shifted = b.cast("bitcast", b.op("or", biased, bits(b, same(2.0**52, x))), x.type)
    n = b.op("fsub", shifted, same(2.0**52 + 1023, x))
    s = b.op("fdiv", b.op("fsub", m, same(1, x)), b.op("fadd", m, same(1, x)))
    square = b.op("fmul", s, s)
    series = b.fma(b.op("fmul", s, square), polynomial(b, square, _LOG_64), s)
    return b.fma(n, same(_LN_2, x), b.op("fadd", series, series))
