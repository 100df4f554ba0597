"""Numbers in order, and running sums and products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.elementwise import NUMBERS, require_kind
from glowpy_ir.ops.movement import Pad, full_slice
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Iota(Primitive):
    """``0, 1, …, count - 1``"""

    count: Dim
    kind: Kind = Kind.I64

    def infer(self) -> TensorType:
        require_kind(self.name, self.kind, NUMBERS)
        if isinstance(self.count, int) and self.count < 0:
            raise TypeMismatch(f"{self.name} cannot count to {self.count}")
        return TensorType(self.kind, (self.count,))

    def evaluate(self) -> Array:
        return np.arange(*self.infer().extents).astype(self.kind.dtype)


@dataclass(frozen=True)
class Running(Primitive):
    """A primitive that combines each element with all before it along ``axis``."""

    axis: int
    neutral: ClassVar[int]
    """What changes nothing when it is combined."""

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, NUMBERS)
        if not 0 <= self.axis < input.rank:
            raise TypeMismatch(f"no axis {self.axis} in {input}")
        return input

    def combine(self, input: Array, axis: int) -> Array:
        """The meaning; floats are float64, to be rounded once."""
        raise NotImplementedError

    def evaluate(self, input: Array) -> Array:
        wide = input.astype(np.float64) if TensorType.of(input).kind.is_float else input
        with np.errstate(all="ignore"):
            return self.combine(wide, self.axis).astype(input.dtype)


@dataclass(frozen=True)
class RunningSum(Running):
    """Each element and all before it along ``axis``, added up."""

    neutral = 0

    def combine(self, input: Array, axis: int) -> Array:
        return np.cumsum(input, axis)


@dataclass(frozen=True)
class RunningProduct(Running):
    """Each element and all before it along ``axis``, multiplied."""

    neutral = 1

    def combine(self, input: Array, axis: int) -> Array:
        return np.cumprod(input, axis)


@dataclass(frozen=True)
class Cumulate(Composite):
    """A running sum or product from the front, or in ``reverse`` from the back; ``exclusive`` of the element itself

    (ONNX CumSum, CumProd)
    """

    running: Running
    exclusive: bool = False
    reverse: bool = False

    def expand(self, e: Emitter[T], input: T) -> T:
        shape, axis = e.type_of(input).shape, self.running.axis
        extent = shape[axis]
        if extent == 0:
            return input
        backwards = full_slice(shape, axis, extent - 1, extent, -1)
        result = e.add(backwards, input) if self.reverse else input
        if self.exclusive:
            before = tuple(int(d == axis) for d in range(len(shape)))
            shorter = e.add(full_slice(shape, axis, 0, extent - 1), result)
            result = e.add(Pad(before, (0,) * len(shape), self.running.neutral), shorter)
        result = e.add(self.running, result)
        return e.add(backwards, result) if self.reverse else result
