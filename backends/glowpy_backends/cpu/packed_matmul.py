"""Matrix product as the CPU computes it with constant weights: packed in panels for one tiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.matmul import MatMul as Product
from glowpy_backends.cpu.kernels.matmul import merge_batch, pack_weights, tiling_of
from glowpy_backends.cpu.pairs import as_pairs, pair_up, take_apart
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling
from glowpy_backends.cpu.view import View
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class PackedMatMul(Primitive):
    """``lhs [*batch, M, K]`` times a matrix ``[K, columns]`` that was packed for ``tiling`` and ``target``.

    As ``pairs``, ``lhs`` is of i16 and K even; the weights are pairs of rows, and the result is of i32.
    """

    columns: int
    tiling: Tiling
    target: Target
    pairs: bool = False

    def infer(self, lhs: TensorType, weights: TensorType) -> TensorType:
        if lhs.rank < 2 or weights.rank != 1:
            raise TypeMismatch(f"PackedMatMul takes matrices and packed weights, not {lhs} and {weights}")
        if self.pairs != (lhs.kind is Kind.I16) or (self.pairs and lhs.extents[-1] % 2):
            raise TypeMismatch(f"PackedMatMul of pairs takes an even number of columns of i16, not {lhs}")
        return TensorType(weights.kind, (*lhs.shape[:-1], self.columns))

    def evaluate(self, lhs: Array, weights: Array) -> Array:
        spec = packed_product(TensorType.of(lhs), self.columns)
        depth = spec.depth
        numbers = np.arange(1, depth * self.columns + 1).reshape(depth, self.columns)
        places = pack_weights(numbers, spec, self.tiling, self.target)
        flat = np.zeros(depth * self.columns, weights.dtype)
        flat[places[places > 0] - 1] = weights[places > 0]
        matrix = flat.reshape(depth, self.columns)
        if self.pairs:
            return MatMul().evaluate(lhs, take_apart(matrix, 0, lhs.shape[-1]))
        made: Array = np.matmul(lhs, matrix)
        return made


@dataclass(frozen=True)
class PairedMatMul(Primitive):
    """``lhs [*batch, M, K]`` times ``rhs [*batch, K / 2, 2 * N]``, of i16, with sums of i32.

    ``rhs`` has the rows of a matrix ``[K, N]``, two by two interleaved.
    """

    def infer(self, lhs: TensorType, rhs: TensorType) -> TensorType:
        if {lhs.kind, rhs.kind} != {Kind.I16} or lhs.extents[-1] != 2 * rhs.extents[-2] or rhs.extents[-1] % 2:
            raise TypeMismatch(f"PairedMatMul takes matrices of i16 and pairs of rows, not {lhs} and {rhs}")
        *batch, depth, columns = rhs.extents
        return MatMul().infer(lhs, rhs.with_shape(*batch, 2 * depth, columns // 2))

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        *batch, depth, columns = rhs.shape
        rows = rhs.reshape(*batch, depth, columns // 2, 2).swapaxes(-1, -2)
        return MatMul().evaluate(lhs, rows.reshape(*batch, 2 * depth, columns // 2))


def pack_matrix(matrix: Array, lhs: TensorType, target: Target) -> tuple[PackedMatMul, Array]:
    """The operator for a constant matrix ``[K, N]``, and the weights that it takes."""
    spec = packed_product(lhs, matrix.shape[1])
    tiling = tiling_of(spec, target)
    rows = pair_up(matrix, 0) if spec.pairs else matrix
    return PackedMatMul(matrix.shape[1], tiling, target, spec.pairs), pack_weights(rows, spec, tiling, target)


def packed_product(lhs: TensorType, columns: int) -> Product:
    """What the kernel computes for ``lhs`` if all lies densely."""
    pairs = lhs.kind is Kind.I16
    left = View.dense(lhs.kind, lhs.extents)
    left = as_pairs(left) if pairs else left
    result = View.dense(left.kind, (*lhs.extents[:-1], columns))
    return product(result, left, constant_right(result, left.shape[-1]), True, pairs=pairs)


def product(
    result: View, left: View, right: View, constant: bool, epilogue: Epilogue | None = None, pairs: bool = False
) -> Product:
    """What the kernel computes for operands that lie like this, with as many rows as share one right operand."""
    batch = result.shape[:-2]
    spec = Product(
        result,
        left.expand((*batch, *left.shape[-2:])),
        right.expand((*batch, *right.shape[-2:])),
        constant=constant,
        pairs=pairs,
        epilogue=epilogue or Epilogue(),
    )
    return merge_batch(spec)


def constant_right(result: View, depth: int) -> View:
    """Packed weights as a matrix; how they lie, the packing says."""
    return View(result.kind, (depth, result.shape[-1]), (0, 0))
