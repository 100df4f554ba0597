"""Vectors of one element kind from another, as the operator Cast has it.

In registers, bools are masks, floats of 16 bits and less are f32, and integers of less than a byte are i8.
"""

from __future__ import annotations

from glowpy_backends.cpu.arithmetic import absolute, bits, clamp, same
from glowpy_backends.cpu.builder import BF16, F16, F32, F64, I1, I8, I16, I32, I64, Builder, Ssa, Type, constant, zero
from glowpy_backends.cpu.halves import round_to_half
from glowpy_backends.cpu.small_floats import round_to_small
from glowpy_ir.errors import Unsupported
from glowpy_ir.ops.convert import SMALL_FLOATS, SMALL_INTEGERS
from glowpy_ir.types import Kind

REGISTERS: dict[Kind, Type] = {
    Kind.BOOL: I1,
    Kind.F64: F64,
    **dict.fromkeys((Kind.F32, Kind.F16, Kind.BF16, *SMALL_FLOATS, Kind.F8E8M0), F32),
    **dict.fromkeys((Kind.I8, Kind.U8, *SMALL_INTEGERS), I8),
    **dict.fromkeys((Kind.I16, Kind.U16), I16),
    **dict.fromkeys((Kind.I32, Kind.U32), I32),
    **dict.fromkeys((Kind.I64, Kind.U64), I64),
}
"""The type of an element in a register, for all kinds that vectors are computed with."""


def convert(b: Builder, x: Ssa, source: Kind, to: Kind, saturate: bool = True) -> Ssa:
    """The elements of ``x``, which are of kind ``source``, as elements of kind ``to``; Unsupported for other kinds.

    Floats become integers by rounding toward zero; out of range, they become the nearest number in it; NaN, zero.
    What is too large for a small float becomes its largest number if it is to ``saturate``.
    """
    for kind in (source, to):
        if kind not in REGISTERS:
            raise Unsupported(f"native code does not convert {source.value} to {to.value}; use --backend=interpreter")
    type = x.type.with_element(REGISTERS[to])
    if source is to:
        return x
    if source in _HALVES:  # what was computed has more digits in a register than in memory
        x = round_to_half(b, x, _HALVES[source])
    if to is Kind.BOOL:
        return b.compare("une" if x.type.is_float else "ne", x, zero(x.type))
    if to in _HALVES or to in SMALL_FLOATS:
        single = _odd_f32(b, x) if source is Kind.F64 else convert(b, x, source, Kind.F32)
        if to in _HALVES:
            return round_to_half(b, single, _HALVES[to])
        return round_to_small(b, clamp(b, single, *to.limits) if saturate else single, to)
    if to in SMALL_INTEGERS:
        return low_bits(b, convert(b, x, source, Kind.I8), to)
    if source is Kind.BOOL:
        return b.cast("uitofp" if type.is_float else "zext", x, type)
    if x.type.is_float and type.is_float:
        return b.cast("fptrunc" if type.scalar == F32 and source is Kind.F64 else "fpext", x, type)
    if x.type.is_float:
        return _saturate(b, x, type, to.is_signed)
    if type.is_float:
        return b.cast("sitofp" if source.is_signed else "uitofp", x, type)
    if x.type.element_bytes > type.element_bytes:
        return b.cast("trunc", x, type)
    return b.cast("sext" if source.is_signed else "zext", x, type)


_WIDTHS = {Kind.I4: 4, Kind.U4: 4, Kind.I2: 2, Kind.U2: 2}


def low_bits(b: Builder, x: Ssa, kind: Kind) -> Ssa:
    """The number of a kind of less than eight bits that the low bits of a byte are."""
    if not kind.is_signed:
        return b.op("and", x, same((1 << _WIDTHS[kind]) - 1, x))
    above = same(8 - _WIDTHS[kind], x)
    return b.op("ashr", b.op("shl", x, above), above)


def byte_of(b: Builder, x: Ssa, kind: Kind) -> Ssa:
    """A number of a kind of less than eight bits as it stands in memory: the bits above are zero."""
    return b.op("and", x, same((1 << _WIDTHS[kind]) - 1, x))


_HALVES = {Kind.F16: F16, Kind.BF16: BF16}


def _saturate(b: Builder, x: Ssa, type: Type, signed: bool) -> Ssa:
    """Clamped first: LLVM's own conversion that saturates goes lane by lane."""
    magnitude = 8 * type.element_bytes - signed
    low, beyond = -(2.0**magnitude) if signed else 0.0, 2.0**magnitude
    precision = 53 if x.type.scalar == F64 else 24
    high = beyond - 2.0 ** max(0, magnitude - precision)  # the largest float below
    inside = b.select(b.compare("ord", x, x), x, zero(x.type)) if signed else x
    inside = b.select(b.compare("ogt", inside, same(low, x)), inside, same(low, x))  # of NaN, the bound
    inside = b.select(b.compare("olt", inside, same(high, x)), inside, same(high, x))
    if type.element_bytes < 4:
        return b.cast("trunc", b.cast("fptosi", inside, x.type.with_element(I32)), type)
    result = b.cast("fptosi" if signed else "fptoui", inside, type)
    if high == beyond - 1:
        return result
    return b.select(b.compare("oge", x, same(beyond, x)), constant(2**magnitude - 1, type), result)


def _odd_f32(b: Builder, x: Ssa) -> Ssa:
    """An f64 as one of the two f32 around it, of which the last bit is set; or exactly.

    Rounding that to a shorter format gives what rounding the f64 would have given (Boldo and Melquiond, "When double
    rounding is odd", 2005).
    """
    single = b.cast("fptrunc", x, x.type.with_element(F32))
    back = b.cast("fpext", single, x.type)
    i = bits(b, single)
    beyond = b.cast("zext", b.compare("ogt", absolute(b, back), absolute(b, x)), i.type)
    inexact = b.cast("zext", b.compare("one", back, x), i.type)
    return b.cast("bitcast", b.op("or", b.op("sub", i, beyond), inexact), single.type)
