"""The determinant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import FLOATS, require_kind
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True)
class Determinant(Primitive):
    """The determinant of each matrix ``[…, n, n]``, computed in f64 (ONNX Det)"""

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, FLOATS)
        if input.rank < 2 or input.shape[-1] != input.shape[-2]:
            raise TypeMismatch(f"{input} has no square matrices")
        return input.with_shape(*input.shape[:-2])

    def evaluate(self, input: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.linalg.det(input.astype(np.float64))).astype(input.dtype)
