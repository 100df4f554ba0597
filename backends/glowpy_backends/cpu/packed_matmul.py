"""Matrix product as the CPU computes it with constant weights: packed in panels for one tiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.matmul import MatMul as Product
from glowpy_backends.cpu.kernels.matmul import merge_batch, pack_weights, tiling_of
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling
from glowpy_backends.cpu.view import View
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True)
class PackedMatMul(Primitive):
    """``lhs [*batch, M, K]`` times a matrix ``[K, columns]`` that was packed for ``tiling`` and ``target``."""

    columns: int
    tiling: Tiling
    target: Target

    def infer(self, lhs: TensorType, weights: TensorType) -> TensorType:
        if lhs.rank < 2 or weights.rank != 1:
            raise TypeMismatch(f"PackedMatMul takes matrices and packed weights, not {lhs} and {weights}")
        return lhs.with_shape(*lhs.shape[:-1], self.columns)

    def evaluate(self, lhs: Array, weights: Array) -> Array:
        depth = lhs.shape[-1]
        result = View.dense(TensorType.of(lhs).kind, (*lhs.shape[:-1], self.columns))
        spec = product(result, View.dense(TensorType.of(lhs).kind, lhs.shape), constant_right(result, depth), True)
        numbers = np.arange(1, depth * self.columns + 1).reshape(depth, self.columns)
        places = pack_weights(numbers, spec, self.tiling, self.target)
        matrix = np.zeros(depth * self.columns, weights.dtype)
        matrix[places[places > 0] - 1] = weights[places > 0]
        made: Array = np.matmul(lhs, matrix.reshape(depth, self.columns))
        return made


def pack_matrix(matrix: Array, lhs: TensorType, result: TensorType, target: Target) -> tuple[PackedMatMul, Array]:
    """The operator for a constant matrix ``[K, N]``, and the weights that it takes."""
    out = View.dense(result.kind, result.extents)
    spec = product(out, View.dense(lhs.kind, lhs.extents), constant_right(out, matrix.shape[0]), True)
    tiling = tiling_of(spec, target)
    return PackedMatMul(matrix.shape[1], tiling, target), pack_weights(matrix, spec, tiling, target)


def product(
    result: View, left: View, right: View, constant: bool, epilogue: Epilogue | None = None
) -> Product:
    """What the kernel computes for operands that lie like this, with as many rows as share one right operand."""
    batch = result.shape[:-2]
    spec = Product(
        result,
        left.expand((*batch, *left.shape[-2:])),
        right.expand((*batch, *right.shape[-2:])),
        constant=constant,
        epilogue=epilogue or Epilogue(),
    )
    return merge_batch(spec)


def constant_right(result: View, depth: int) -> View:
    """Packed weights as a matrix; how they lie, the packing says."""
    return View(result.kind, (depth, result.shape[-1]), (0, 0))
