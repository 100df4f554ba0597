"""The matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import NUMBERS, broadcast_shapes, require_kind, widened
from glowpy_ir.types import Array, Kind, TensorType

NARROW = frozenset({Kind.I8, Kind.U8, Kind.I16})
"""Integers whose products are summed as i32: that is what quantized networks compute with."""


def kind_of_sums(name: str, *operands: TensorType) -> Kind:
    """The kind in which products of the elements are summed; TypeMismatch unless they can be multiplied.

    The operands have one kind, which is that of the sums; or any of the narrow ones, and the sums are i32.
    """
    kinds = {operand.kind for operand in operands}
    if kinds <= NARROW:
        return Kind.I32
    if len(kinds) > 1:
        raise TypeMismatch(f"{name}: element kinds differ: {', '.join(map(str, operands))}")
    require_kind(name, operands[0].kind, NUMBERS)
    return operands[0].kind


def factors(array: Array) -> Array:
    """Elements as they are multiplied: as they are, but short floats as f32, and narrow integers as f64.

    Sums of products of 16-bit integers are exact in f64, and many times as fast as NumPy's of integers.
    """
    return array.astype(np.float64) if TensorType.of(array).kind in NARROW else widened(array)


def sums(total: Array, kind: Kind) -> Array:
    """What was summed, as elements of ``kind``; integers wrap around."""
    exact = total.astype(np.int64) if kind is Kind.I32 and total.dtype.kind == "f" else total
    return exact.astype(kind.dtype, copy=False)


@dataclass(frozen=True)
class MatMul(Primitive):
    """The matrix product of the last two dimensions; the others are broadcast as NumPy does.

    ``lhs [*batch, M, K]``, ``rhs [*batch, K, N]``: ``[*batch, M, N]``. The product of integers of i8, u8 and i16, in
    any combination, is of i32.
    """

    def infer(self, lhs: TensorType, rhs: TensorType) -> TensorType:
        kind = kind_of_sums("MatMul", lhs, rhs)
        if lhs.rank < 2 or rhs.rank < 2:
            raise TypeMismatch(f"MatMul takes matrices or stacks of them, not {lhs} and {rhs}")
        inner = (lhs.shape[-1], rhs.shape[-2])
        if inner[0] != inner[1] and is_static(inner):
            raise TypeMismatch(f"the columns of {lhs} are not as many as the rows of {rhs}")
        batch = broadcast_shapes(lhs.shape[:-2], rhs.shape[:-2])
        return TensorType(kind, (*batch, lhs.shape[-2], rhs.shape[-1]))

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        kind = kind_of_sums("MatMul", TensorType.of(lhs), TensorType.of(rhs))
        return sums(np.matmul(factors(lhs), factors(rhs)), kind)
