"""Functions of vectors: polynomials in registers for the common ones of float32, libm lane by lane for the rest.

Coefficients are those of the Cephes library (Moshier) and of the rational approximations of Eigen; errors are a few
units in the last place, see tests/cpu/test_math.py for each bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from glowpy_backends.cpu.builder import F32, I32, Builder, Ssa, constant, zero

Function = Callable[[Builder, Ssa], Ssa]

_ROUND = 12582912.0
"""1.5 * 2**23: added to a small float32, it leaves the nearest integer in the low bits."""


def _like(value: float, x: Ssa) -> Ssa:
    return constant(value, x.type)


def _polynomial(b: Builder, x: Ssa, coefficients: Sequence[float]) -> Ssa:
    """Horner's scheme, the highest power first."""
    result = _like(coefficients[0], x)
    for c in coefficients[1:]:
        result = b.fma(result, x, _like(c, x))
    return result


def _clamp(b: Builder, x: Ssa, low: float, high: float) -> Ssa:
    """Within bounds; NaN stays."""
    x = b.select(b.compare("ogt", _like(low, x), x), _like(low, x), x)
    return b.select(b.compare("olt", _like(high, x), x), _like(high, x), x)


def by_lanes(name: str) -> Callable[..., Ssa]:
    """libm's ``name``, called for each lane."""

    def call(b: Builder, *vectors: Ssa) -> Ssa:
        type = vectors[0].type
        scalar = type.scalar
        full = name + ("f" if scalar == F32 else "")
        b.declare(full, scalar, [scalar] * len(vectors))
        result = zero(type)
        for lane in range(type.lanes):
            value = b.call(full, [b.lane(v, lane) for v in vectors], scalar)
            result = b.insert(result, value, lane)
        return result

    return call


def _single(fast: Function, name: str) -> Function:
    """``fast`` for float32, libm for float64."""
    slow = by_lanes(name)
    return lambda b, x: fast(b, x) if x.type.scalar == F32 else slow(b, x)


def _exp(b: Builder, x: Ssa) -> Ssa:
    """``2**n * exp(r)``, where n is the nearest integer to ``x / ln 2`` and r what is left."""
    integers = x.type.with_element(I32)
    x = _clamp(b, x, -104.0, 89.0)
    shifted = b.fma(x, _like(1 / math.log(2), x), _like(_ROUND, x))
    n = b.op("fsub", shifted, _like(_ROUND, x))
    r = b.fma(n, _like(-0.693359375, x), x)
    r = b.fma(n, _like(2.12194440e-4, x), r)
    p = _polynomial(
        b, r, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
    )
    p = b.op("fadd", b.fma(p, b.op("fmul", r, r), r), _like(1.0, x))
    exponent = b.op("sub", b.cast("bitcast", shifted, integers), b.cast("bitcast", _like(_ROUND, x), integers))
    half = b.op("ashr", exponent, constant(1, integers))  # in two steps, so that denormals come out as they are
    for part in (half, b.op("sub", exponent, half)):
        bits = b.op("shl", b.op("add", part, constant(127, integers)), constant(23, integers))
        p = b.op("fmul", p, b.cast("bitcast", bits, x.type))
    return p


def _log(b: Builder, x: Ssa) -> Ssa:
    """``n ln 2 + log m``, where m lies between √½ and √2."""
    integers = x.type.with_element(I32)
    is_small = b.compare("olt", x, _like(1.17549435e-38, x))
    scaled = b.select(is_small, b.op("fmul", x, _like(8388608.0, x)), x)
    bits = b.cast("bitcast", scaled, integers)
    above = b.op("sub", bits, constant(0x3F3504F3, integers))  # of √½
    exponent = b.op("ashr", above, constant(23, integers))
    mantissa = b.op("sub", bits, b.op("shl", exponent, constant(23, integers)))
    n = b.cast("sitofp", exponent, x.type)
    n = b.op("fsub", n, b.select(is_small, _like(23.0, x), zero(x.type)))
    m = b.op("fsub", b.cast("bitcast", mantissa, x.type), _like(1.0, x))
    p = _polynomial(
        b, m,
        (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
         2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )  # fmt: skip
    square = b.op("fmul", m, m)
    p = b.op("fmul", b.op("fmul", p, m), square)
    p = b.fma(n, _like(-2.12194440e-4, x), p)
    p = b.fma(square, _like(-0.5, x), p)
    result = b.fma(n, _like(0.693359375, x), b.op("fadd", m, p))
    result = b.select(b.compare("olt", x, _like(math.inf, x)), result, x)
    result = b.select(b.compare("oeq", x, zero(x.type)), _like(-math.inf, x), result)
    return b.select(b.compare("olt", x, zero(x.type)), _like(math.nan, x), result)


def _tanh(b: Builder, x: Ssa) -> Ssa:
    clamped = _clamp(b, x, -7.90531110763549805, 7.90531110763549805)
    square = b.op("fmul", clamped, clamped)
    p = _polynomial(
        b, square,
        (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
         1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03),
    )  # fmt: skip
    q = _polynomial(b, square, (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03))
    result = b.op("fdiv", b.op("fmul", clamped, p), q)
    is_tiny = b.compare("olt", square, _like(1.6e-7, x))
    return b.select(is_tiny, clamped, result)


def _erf(b: Builder, x: Ssa) -> Ssa:
    clamped = _clamp(b, x, -4.0, 4.0)
    square = b.op("fmul", clamped, clamped)
    p = _polynomial(
        b, square,
        (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
         -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
    )  # fmt: skip
    q = _polynomial(
        b, square,
        (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
         -1.42647390514189e-02),
    )  # fmt: skip
    return b.op("fdiv", b.op("fmul", clamped, p), q)


exp: Function = _single(_exp, "exp")
log: Function = _single(_log, "log")
tanh: Function = _single(_tanh, "tanh")
erf: Function = _single(_erf, "erf")


def sigmoid(b: Builder, x: Ssa) -> Ssa:
    """``1 / (1 + exp(-x))``"""
    one = _like(1.0, x)
    return b.op("fdiv", one, b.op("fadd", one, exp(b, b.neg(x))))


def is_constant(value: Ssa) -> bool:
    """Whether the value is known while generating."""
    return not value.name.startswith("%")


def maximum(b: Builder, lhs: Ssa, rhs: Ssa) -> Ssa:
    """The larger of two floats; NaN if one is NaN."""
    return _extremum(b, "ogt", lhs, rhs)


def minimum(b: Builder, lhs: Ssa, rhs: Ssa) -> Ssa:
    """The smaller of two floats; NaN if one is NaN."""
    return _extremum(b, "olt", lhs, rhs)


def _extremum(b: Builder, predicate: str, lhs: Ssa, rhs: Ssa) -> Ssa:
    """x86's vmaxps and vminps answer with the second operand if one is NaN: one instruction for a constant first."""
    if is_constant(rhs):
        lhs, rhs = rhs, lhs
    chosen = b.select(b.compare(predicate, lhs, rhs), lhs, rhs)
    if is_constant(lhs):
        return chosen
    return b.select(b.compare("uno", lhs, lhs), lhs, chosen)
