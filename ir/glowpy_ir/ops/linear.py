"""The matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import NUMBERS, broadcast_shapes, require_kind, widened
from glowpy_ir.types import Array, TensorType


def check_numbers(name: str, *operands: TensorType) -> None:
    """Raise TypeMismatch unless the operands have one kind, and one to compute with."""
    if len({operand.kind for operand in operands}) > 1:
        raise TypeMismatch(f"{name}: element kinds differ: {', '.join(map(str, operands))}")
    require_kind(name, operands[0].kind, NUMBERS)


@dataclass(frozen=True)
class MatMul(Primitive):
    """The matrix product of the last two dimensions; the others are broadcast as NumPy does.

    ``lhs [*batch, M, K]``, ``rhs [*batch, K, N]``: ``[*batch, M, N]``.
    """

    def infer(self, lhs: TensorType, rhs: TensorType) -> TensorType:
        check_numbers("MatMul", lhs, rhs)
        if lhs.rank < 2 or rhs.rank < 2:
            raise TypeMismatch(f"MatMul takes matrices or stacks of them, not {lhs} and {rhs}")
        inner = (lhs.shape[-1], rhs.shape[-2])
        if inner[0] != inner[1] and is_static(inner):
            raise TypeMismatch(f"the columns of {lhs} are not as many as the rows of {rhs}")
        batch = broadcast_shapes(lhs.shape[:-2], rhs.shape[:-2])
        return lhs.with_shape(*batch, lhs.shape[-2], rhs.shape[-1])

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        product: Array = np.matmul(widened(lhs), widened(rhs))
        return product.astype(lhs.dtype, copy=False)
