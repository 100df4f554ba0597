"""Operators that move elements and compute nothing: each is a view of its operand where strides can say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import Dim, is_static, product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Movement, Primitive
from glowpy_ir.ops.elementwise import broadcast_shapes
from glowpy_ir.strided import Strided
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True)
class Copy(Movement):
    """The same tensor at another place."""

    def infer(self, input: TensorType) -> TensorType:
        return input

    def evaluate(self, input: Array) -> Array:
        return input.copy()

    def restride(self, source: Strided) -> Strided:
        return source


@dataclass(frozen=True)
class Reshape(Movement):
    """The same elements in the same order, with another shape."""

    shape: tuple[Dim, ...]

    def infer(self, input: TensorType) -> TensorType:
        same = product(input.shape) == product(self.shape)
        if not same and is_static((*input.shape, *self.shape)):
            raise TypeMismatch(f"{input} does not have as many elements as {input.with_shape(*self.shape)}")
        return input.with_shape(*self.shape)

    def evaluate(self, input: Array) -> Array:
        return input.reshape(TensorType.of(input).with_shape(*self.shape).extents)

    def restride(self, source: Strided) -> Strided | None:
        return source.reshape([dim for dim in self.shape if isinstance(dim, int)])

    def inverse(self, source: TensorType) -> Reshape:
        return Reshape(source.shape)


@dataclass(frozen=True)
class Transpose(Movement):
    """Dimension ``order[i]`` becomes dimension ``i``."""

    order: tuple[int, ...]

    def infer(self, input: TensorType) -> TensorType:
        if sorted(self.order) != list(range(input.rank)):
            raise TypeMismatch(f"{self.order} is no order of the {input.rank} dimensions of {input}")
        return input.with_shape(*(input.shape[i] for i in self.order))

    def evaluate(self, input: Array) -> Array:
        return input.transpose(self.order)

    def restride(self, source: Strided) -> Strided:
        return source.permute(self.order)

    def inverse(self, source: TensorType) -> Transpose:
        return Transpose(tuple(self.order.index(i) for i in range(source.rank)))


@dataclass(frozen=True)
class Slice(Movement):
    """From ``starts``, every ``steps``-th element, ``shape`` of them in each dimension; steps may be negative."""

    starts: tuple[Dim, ...]
    shape: tuple[Dim, ...]
    steps: tuple[int, ...]

    def infer(self, input: TensorType) -> TensorType:
        if not len(self.starts) == len(self.shape) == len(self.steps) == input.rank:
            raise TypeMismatch(f"a slice of {input} needs a start, an extent and a step for each dimension")
        for dim, start, extent, step in zip(input.shape, self.starts, self.shape, self.steps, strict=True):
            if not (isinstance(dim, int) and isinstance(start, int) and isinstance(extent, int)) or extent == 0:
                continue
            last = start + (extent - 1) * step
            if extent < 0 or not (0 <= start < dim and 0 <= last < dim):
                raise TypeMismatch(f"a slice from {start} to {last} leaves a dimension of {dim} in {input}")
        return input.with_shape(*self.shape)

    def evaluate(self, input: Array) -> Array:
        result = input
        for axis, (start, extent, step) in enumerate(zip(self.offsets, self._extents, self.steps, strict=True)):
            result = np.take(result, start + step * np.arange(extent), axis)
        return result

    def restride(self, source: Strided) -> Strided:
        return source.slice(self.offsets, self._extents, self.steps)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The starts, all of which must be known."""
        return tuple(start for start in self.starts if isinstance(start, int))

    @property
    def _extents(self) -> list[int]:
        return [dim for dim in self.shape if isinstance(dim, int)]


@dataclass(frozen=True)
class Expand(Movement):
    """Broadcast to ``shape``."""

    shape: tuple[Dim, ...]

    def infer(self, input: TensorType) -> TensorType:
        if broadcast_shapes(input.shape, self.shape) != self.shape:
            raise TypeMismatch(f"{input} does not broadcast to {input.with_shape(*self.shape)}")
        return input.with_shape(*self.shape)

    def evaluate(self, input: Array) -> Array:
        return np.broadcast_to(input, TensorType.of(input).with_shape(*self.shape).extents)

    def restride(self, source: Strided) -> Strided:
        return source.expand([dim for dim in self.shape if isinstance(dim, int)])


@dataclass(frozen=True)
class Concat(Primitive):
    """The operands one after the other along ``axis``."""

    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        if not inputs or not 0 <= self.axis < inputs[0].rank:
            raise TypeMismatch(f"cannot concatenate {', '.join(map(str, inputs))} along axis {self.axis}")

        def others(type: TensorType) -> tuple[object, ...]:
            return (type.kind, *type.shape[: self.axis], *type.shape[self.axis + 1 :])

        for type in inputs:
            if type.rank != inputs[0].rank or others(type) != others(inputs[0]):
                raise TypeMismatch(f"cannot concatenate {inputs[0]} and {type} along axis {self.axis}")
        total: Dim = 0
        for type in inputs:
            total = total + type.shape[self.axis]
        return inputs[0].with_shape(*inputs[0].shape[: self.axis], total, *inputs[0].shape[self.axis + 1 :])

    def evaluate(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, self.axis)


@dataclass(frozen=True)
class Pad(Primitive):
    """``before[d]`` and ``after[d]`` elements of ``value`` around dimension ``d``."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float = 0.0

    def infer(self, input: TensorType) -> TensorType:
        if not len(self.before) == len(self.after) == input.rank:
            raise TypeMismatch(f"padding of {input} needs two extents for each dimension")
        if min((*self.before, *self.after), default=0) < 0:
            raise TypeMismatch(f"padding of {input} is negative; slice it instead")
        return input.with_shape(
            *(dim + b + a for dim, b, a in zip(input.shape, self.before, self.after, strict=True))
        )

    def evaluate(self, input: Array) -> Array:
        widths = list(zip(self.before, self.after, strict=True))
        return np.pad(input, widths, constant_values=self.value) if widths else input


def full_slice(shape: tuple[Dim, ...], axis: int, start: Dim, extent: Dim, step: int = 1) -> Slice:
    """The slice of a tensor of ``shape`` that cuts one axis only."""
    starts: list[Dim] = [0] * len(shape)
    extents, steps = list(shape), [1] * len(shape)
    starts[axis], extents[axis], steps[axis] = start, extent, step
    return Slice(tuple(starts), tuple(extents), tuple(steps))
