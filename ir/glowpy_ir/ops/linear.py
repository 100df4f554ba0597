"""Sums of products: the matrix product, and Einstein's notation on top of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import broadcast_shapes
from glowpy_ir.types import Array, Kind, TensorType


def check_numeric(name: str, *operands: TensorType) -> None:
    """Raise TypeMismatch unless the operands have one kind, and one that can be summed."""
    kinds = {operand.kind for operand in operands}
    if len(kinds) > 1 or kinds & {Kind.BOOL, Kind.STRING}:
        raise TypeMismatch(f"{name} takes numbers of one kind, not {', '.join(map(str, operands))}")


def accumulable(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in a precision to sum products in: floats of 16 bits and fewer become float32."""
    kind = TensorType.of(arrays[0]).kind
    small = kind.is_float and kind.nbytes < 4
    return tuple(array.astype(np.float32) for array in arrays) if small else arrays


@dataclass(frozen=True)
class MatMul(Primitive):
    """The matrix product of the last two dimensions; the others are broadcast as NumPy does.

    ``lhs [*batch, M, K]``, ``rhs [*batch, K, N]``: ``[*batch, M, N]``.
    """

    def infer(self, lhs: TensorType, rhs: TensorType) -> TensorType:
        check_numeric("MatMul", lhs, rhs)
        if lhs.rank < 2 or rhs.rank < 2:
            raise TypeMismatch(f"MatMul takes matrices or stacks of them, not {lhs} and {rhs}")
        inner = (lhs.shape[-1], rhs.shape[-2])
        if inner[0] != inner[1] and is_static(inner):
            raise TypeMismatch(f"the columns of {lhs} are not as many as the rows of {rhs}")
        batch = broadcast_shapes(lhs.shape[:-2], rhs.shape[:-2])
        return lhs.with_shape(*batch, lhs.shape[-2], rhs.shape[-1])

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.matmul(*accumulable(lhs, rhs)).astype(lhs.dtype, copy=False)
