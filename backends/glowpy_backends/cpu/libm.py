"""Functions of the C library, called for one lane after the other: exact, available for f64, and slow."""

from __future__ import annotations

from glowpy_backends.cpu.builder import F64, Builder, Ssa, Type, zero


def libm(b: Builder, name: str, *operands: Ssa) -> Ssa:
    """``name`` (of doubles; its variant with an f behind it is for floats) applied to each lane."""
    type = operands[0].type
    symbol = name if type.scalar == F64 else f"{name}f"
    b.declare(symbol, type.scalar, [type.scalar] * len(operands))
    if not type.lanes:
        return b.call(symbol, operands, type)
    result = zero(type)
    for lane in range(type.lanes):
        result = b.insert(result, b.call(symbol, [b.lane(v, lane) for v in operands], type.scalar), lane)
    return result


def is_double(type: Type) -> bool:
    """Whether the elements are f64, for which the vector functions leave the work to the C library."""
    return type.scalar == F64
