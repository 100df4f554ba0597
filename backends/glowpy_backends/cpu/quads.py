"""Four integers of 8 bits as an i32: what some processors multiply and add up in one instruction."""

from __future__ import annotations

from glowpy_backends.cpu.builder import I8, Builder, Ssa
from glowpy_backends.cpu.target import Target
from glowpy_ir.types import Array, Kind


def has_quads(target: Target) -> bool:
    """Whether the machine has the instruction, in the vectors that kernels use."""
    return target.has("avx512vnni") and target.vector_bits == 512


def fits_quads(weights: Array) -> bool:
    """Whether integers can be the right operand."""
    low, high = Kind.I8.limits
    return bool(((low <= weights) & (weights <= high)).all())


def add_products_of_quads(b: Builder, x: Ssa, y: Ssa, total: Ssa) -> Ssa:
    """``total`` plus, for each quad, its four products: numbers of ``x`` have no sign, those of ``y`` have one."""
    name = "llvm.x86.avx512.vpdpbusd.512"
    bytes = I8.vector(4 * x.type.lanes)
    b.declare(name, x.type, [x.type, bytes, bytes])
    return b.call(name, [total, b.cast("bitcast", x, bytes), b.cast("bitcast", y, bytes)], x.type)
