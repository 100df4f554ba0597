"""Enlarging and shrinking along axes: each result is a weighted sum of a few elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.elementwise import NUMBERS, require_kind
from glowpy_ir.ops.movement import Expand, Reshape
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Repeat(Composite):
    """Each element of dimension ``d`` stands ``factors[d]`` times in a row."""

    factors: tuple[int, ...]

    def expand(self, e: Emitter[T], input: T) -> T:
        shape = e.type_of(input).shape
        if len(self.factors) != len(shape) or min(self.factors, default=1) < 1:
            raise TypeMismatch(f"{e.type_of(input)} needs a positive factor for each dimension, not {self.factors}")
        apart: list[Dim] = []
        wide: list[Dim] = []
        for dim, factor in zip(shape, self.factors, strict=True):
            apart += [dim, 1] if factor > 1 else [dim]
            wide += [dim, factor] if factor > 1 else [dim]
        repeated = e.add(Expand(tuple(wide)), e.add(Reshape(tuple(apart)), input))
        whole = tuple(dim * factor for dim, factor in zip(shape, self.factors, strict=True))
        return e.add(Reshape(whole), repeated)


@dataclass(frozen=True)
class Resample(Primitive):
    """``result[…, o, …] = Σ_t weights[o, t] * input[…, indices[o, t], …]`` along each of ``axes``, one after the other.

    ``tables`` are, for each axis, ``indices [extent, taps]`` (i32) and ``weights [extent, taps]`` (f32). The sums are
    rounded once for each axis, in f32 at least; integers are rounded to the nearest, even of two, at the end, and kept
    within what their kind can hold.
    """

    axes: tuple[int, ...]

    def infer(self, input: TensorType, *tables: TensorType) -> TensorType:
        require_kind("Resample", input.kind, NUMBERS)
        if list(self.axes) != sorted({*self.axes} & {*range(input.rank)}) or len(tables) != 2 * len(self.axes):
            raise TypeMismatch(f"axes {self.axes} of {input} must exist, ascend and have two tables each")
        shape = list(input.shape)
        for axis, indices, weights in zip(self.axes, tables[::2], tables[1::2], strict=True):
            kinds, shapes = (indices.kind, weights.kind), (indices.shape, weights.shape)
            if kinds != (Kind.I32, Kind.F32) or shapes[0] != shapes[1] or indices.rank != 2:
                raise TypeMismatch(f"the tables of axis {axis} must be i32 and f32 [extent,taps]: {indices}, {weights}")
            shape[axis] = indices.shape[0]
        return input.with_shape(*shape)

    def evaluate(self, input: Array, *tables: Array) -> Array:
        result = input if input.dtype == np.float64 else input.astype(np.float32)
        for axis, indices, weights in zip(self.axes, tables[::2], tables[1::2], strict=True):
            tail = (1,) * (input.ndim - axis - 1)
            source = result
            result = np.zeros((*source.shape[:axis], len(indices), *source.shape[axis + 1 :]), source.dtype)
            for tap, weight in zip(indices.T, weights.T, strict=True):
                result += np.take(source, tap, axis) * weight.reshape(-1, *tail)
        kind = TensorType.of(input).kind
        if kind.is_integer:
            result = np.asarray(np.clip(np.rint(result), *kind.limits))
        return result.astype(input.dtype)
