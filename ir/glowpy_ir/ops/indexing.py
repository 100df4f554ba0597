"""Operators that pick elements by number, or put them where numbers say.

A negative index counts from the end. An index outside its dimension is a UsageError when it is met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import NUMBERS, require_kind
from glowpy_ir.ops.movement import Concat, Expand, Reshape
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Gather(Primitive):
    """Slices of ``input`` along ``axis``, one for each index (ONNX Gather)

    ``[a…, n, b…]`` and indices ``[i…]`` make ``[a…, i…, b…]``.
    """

    axis: int = 0

    def infer(self, input: TensorType, indices: TensorType) -> TensorType:
        _check_indices(self.name, indices)
        if not 0 <= self.axis < input.rank:
            raise TypeMismatch(f"cannot gather from {input} along axis {self.axis}")
        return input.with_shape(*input.shape[: self.axis], *indices.shape, *input.shape[self.axis + 1 :])

    def evaluate(self, input: Array, indices: Array) -> Array:
        taken = np.take(input, _in_range(indices, input.shape[self.axis]), self.axis)
        return np.asarray(taken, input.dtype)  # a single text comes without its array


@dataclass(frozen=True)
class GatherND(Primitive):
    """What stands at the index tuples in the last dimension of ``indices`` (ONNX GatherND)

    ``[b…, n…, r…]`` and indices ``[b…, i…, len(n)]`` make ``[b…, i…, r…]``; there are ``batch`` dimensions ``b``.
    """

    batch: int = 0

    def infer(self, input: TensorType, indices: TensorType) -> TensorType:
        depth = _check_tuples(self.name, input, indices, self.batch)
        if input.shape[: self.batch] != indices.shape[: self.batch] or indices.rank <= self.batch:
            raise TypeMismatch(f"GatherND: {input} and {indices} do not agree in the first {self.batch} dimensions")
        return input.with_shape(*indices.shape[:-1], *input.shape[self.batch + depth :])

    def evaluate(self, input: Array, indices: Array) -> Array:
        return np.asarray(input[_positions(input, indices, self.batch)], input.dtype)


@dataclass(frozen=True)
class GatherElements(Composite):
    """``result[i][j][k] = input[i][indices[i][j][k]][k]`` for ``axis`` 1 (ONNX GatherElements)"""

    axis: int = 0

    def expand(self, e: Emitter[T], input: T, indices: T) -> T:
        return e.add(GatherND(), input, coordinates(e, input, indices, self.axis))


class Update(Enum):
    """What becomes of an element that an update meets."""

    REPLACE = "none"
    ADD = "add"
    MUL = "mul"
    MAX = "max"
    MIN = "min"


_COMBINE: Mapping[Update, Callable[[Array, Any, Array], None]] = {
    Update.REPLACE: lambda target, where, updates: target.__setitem__(where, updates),
    Update.ADD: np.add.at,
    Update.MUL: np.multiply.at,
    Update.MAX: np.maximum.at,
    Update.MIN: np.minimum.at,
}


@dataclass(frozen=True)
class ScatterND(Primitive):
    """``input`` with ``updates`` at the index tuples in the last dimension of ``indices`` (ONNX ScatterND)

    ``[n…, r…]``, indices ``[i…, len(n)]`` and updates ``[i…, r…]`` make ``[n…, r…]``. If index tuples are equal, the
    last update counts with ``REPLACE``, and all of them else.
    """

    update: Update = Update.REPLACE
    in_place = (0,)

    def infer(self, input: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        if self.update is not Update.REPLACE:
            require_kind(f"{self.name} with {self.update.value}", input.kind, NUMBERS)
        depth = _check_tuples(self.name, input, indices, 0)
        wanted = input.with_shape(*indices.shape[:-1], *input.shape[depth:])
        if updates != wanted:
            raise TypeMismatch(f"ScatterND: updates of {input} at {indices} must be {wanted}, but are {updates}")
        return input

    def evaluate(self, input: Array, indices: Array, updates: Array) -> Array:
        result = input.copy()
        _COMBINE[self.update](result, _positions(input, indices, 0), updates)
        return result


@dataclass(frozen=True)
class ScatterElements(Composite):
    """``input`` with ``result[i][indices[i][j][k]][k] = updates[i][j][k]`` for ``axis`` 1 (ONNX ScatterElements)"""

    axis: int = 0
    update: Update = Update.REPLACE

    def expand(self, e: Emitter[T], input: T, indices: T, updates: T) -> T:
        return e.add(ScatterND(self.update), input, coordinates(e, input, indices, self.axis), updates)


def coordinates(e: Emitter[T], input: T, indices: T, axis: int) -> T:
    """The full index tuple for each element of ``indices``, which replaces the element's own place along ``axis``."""
    whole, type = e.type_of(input), e.type_of(indices)
    if type.rank != whole.rank or not 0 <= axis < type.rank:
        raise TypeMismatch(f"indices {type} do not fit {whole} along axis {axis}")
    parts = []
    for d, extent in enumerate(type.shape):
        if d == axis:
            part = indices
        else:
            steps: list[Dim] = [1] * type.rank
            steps[d] = extent
            part = e.add(Expand(type.shape), e.add(Reshape(tuple(steps)), e.add(Iota(extent, type.kind))))
        parts.append(e.add(Reshape((*type.shape, 1)), part))
    return e.add(Concat(type.rank), *parts)


def _check_indices(name: str, indices: TensorType) -> None:
    if indices.kind not in (Kind.I32, Kind.I64):
        raise TypeMismatch(f"{name} takes indices of i32 or i64, not {indices}")


def _check_tuples(name: str, input: TensorType, indices: TensorType, batch: int) -> int:
    _check_indices(name, indices)
    depth = indices.shape[-1] if indices.rank else 0
    if not isinstance(depth, int) or not 1 <= depth <= input.rank - batch:
        raise TypeMismatch(f"{name}: the last dimension of {indices} must index dimensions of {input}")
    return depth


def _in_range(indices: Array, extent: int) -> Array:
    if indices.size and not (-extent <= indices.min() and indices.max() < extent):
        raise UsageError(f"an index from {indices.min()} to {indices.max()} is outside a dimension of {extent}")
    return indices


def _positions(input: Array, indices: Array, batch: int) -> tuple[Array, ...]:
    """An index array for each of the leading dimensions of ``input``."""
    lead = [
        np.arange(n).reshape(*(-1 if i == d else 1 for i in range(indices.ndim - 1)))
        for d, n in enumerate(input.shape[:batch])
    ]
    parts = (_in_range(indices[..., i], input.shape[batch + i]) for i in range(indices.shape[-1]))
    return (*lead, *parts)
