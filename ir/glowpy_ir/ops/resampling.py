"""Enlarging and shrinking along axes: each result is a weighted sum of a few elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import require_kind
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Repeat(Primitive):
    """Each element of dimension ``d`` stands ``factors[d]`` times in a row."""

    factors: tuple[int, ...]

    def infer(self, input: TensorType) -> TensorType:
        if len(self.factors) != input.rank or min(self.factors, default=1) < 1:
            raise TypeMismatch(f"{input} needs a positive factor for each dimension, not {self.factors}")
        return input.with_shape(*(dim * factor for dim, factor in zip(input.shape, self.factors, strict=True)))

    def evaluate(self, input: Array) -> Array:
        for axis, factor in enumerate(self.factors):
            input = np.repeat(input, factor, axis)
        return input


@dataclass(frozen=True)
class Resample(Primitive):
    """``result[…, o, …] = Σ_t weights[o, t] * input[…, indices[o, t], …]`` along ``axis``.

    ``indices [count, taps]`` is i32, ``weights [count, taps]`` is f32, ``input`` f32 or f64.
    """

    axis: int

    def infer(self, input: TensorType, indices: TensorType, weights: TensorType) -> TensorType:
        require_kind("Resample", input.kind, frozenset({Kind.F32, Kind.F64}))
        if not 0 <= self.axis < input.rank:
            raise TypeMismatch(f"Resample: {input} has no axis {self.axis}")
        kinds, shapes = (indices.kind, weights.kind), (indices.shape, weights.shape)
        if kinds != (Kind.I32, Kind.F32) or shapes[0] != shapes[1] or indices.rank != 2:
            raise TypeMismatch(f"Resample takes tables i32 and f32 [count, taps], not {indices} and {weights}")
        return input.with_shape(*input.shape[: self.axis], indices.shape[0], *input.shape[self.axis + 1 :])

    def evaluate(self, input: Array, indices: Array, weights: Array) -> Array:
        tail = (1,) * (input.ndim - self.axis - 1)
        result = np.zeros((*input.shape[: self.axis], len(indices), *input.shape[self.axis + 1 :]), input.dtype)
        for places, factors in zip(indices.T, weights.T, strict=True):
            result += np.take(input, places, self.axis) * factors.reshape(-1, *tail)
        return result
