"""Operators that make one number of all those along some axes.

``axes`` count from the front and ascend. The result keeps them with extent one if ``keepdims``, else it lacks them.
No axes reduce nothing: each number is its own sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from glowpy_ir.dims import Dim, Expr, product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import FLOATS, NUMBERS, Add, Div, Mul, Sub, require_kind, scalar
from glowpy_ir.ops.functions import Abs, Exp, Log, Sqrt
from glowpy_ir.ops.logic import Less, Select
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.types import Array, Kind, TensorType


def reduced_shape(shape: tuple[Dim, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[Dim, ...]:
    """The shape of what is left; TypeMismatch if an axis does not exist, or the axes do not ascend."""
    if list(axes) != sorted(set(axes)) or (axes and not 0 <= axes[0] <= axes[-1] < len(shape)):
        raise TypeMismatch(f"cannot reduce {len(shape)} dimensions along axes {axes}; they must exist and ascend")
    kept: list[Dim | None] = [(1 if keepdims else None) if axis in axes else dim for axis, dim in enumerate(shape)]
    return tuple(dim for dim in kept if dim is not None)


@dataclass(frozen=True)
class Reduction(Primitive):
    """A primitive that combines the elements along ``axes``, in any order."""

    axes: tuple[int, ...]
    keepdims: bool = True
    kinds: ClassVar[frozenset[Kind]] = NUMBERS

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, self.kinds)
        return TensorType(input.kind, reduced_shape(input.shape, self.axes, self.keepdims))

    def combine(self, input: Array, **along: Any) -> Any:
        """The meaning, for ``axis`` and ``keepdims`` as NumPy takes them; floats are float64, to be rounded once."""
        raise NotImplementedError

    def evaluate(self, input: Array) -> Array:
        wide = input.astype(np.float64) if TensorType.of(input).kind.is_float else input
        with np.errstate(all="ignore"):
            result = self.combine(wide, axis=self.axes, keepdims=self.keepdims)
            return np.asarray(result).astype(input.dtype)


@dataclass(frozen=True)
class ReduceSum(Reduction):
    """The sum; of nothing, 0 (ONNX ReduceSum)"""

    def combine(self, input: Array, **along: Any) -> Any:
        return np.sum(input, dtype=input.dtype, **along)


@dataclass(frozen=True)
class ReduceProd(Reduction):
    """The product; of nothing, 1 (ONNX ReduceProd)"""

    def combine(self, input: Array, **along: Any) -> Any:
        return np.prod(input, dtype=input.dtype, **along)


@dataclass(frozen=True)
class ReduceMax(Reduction):
    """The largest element, NaN if one is; of nothing, the smallest number of the kind (ONNX ReduceMax)"""

    kinds = NUMBERS | {Kind.BOOL}

    def combine(self, input: Array, **along: Any) -> Any:
        return np.max(input, initial=bounds(TensorType.of(input).kind)[0], **along)


@dataclass(frozen=True)
class ReduceMin(Reduction):
    """The smallest element, NaN if one is; of nothing, the largest number of the kind (ONNX ReduceMin)"""

    kinds = NUMBERS | {Kind.BOOL}

    def combine(self, input: Array, **along: Any) -> Any:
        return np.min(input, initial=bounds(TensorType.of(input).kind)[1], **along)


def bounds(kind: Kind) -> tuple[float, float]:
    """What no number of a kind is below, and what none is above."""
    return (-math.inf, math.inf) if kind.is_float else kind.limits


@dataclass(frozen=True)
class Search(Primitive):
    """A primitive that tells where along ``axis`` an element stands, as i64; of equal ones the first, or the last."""

    axis: int
    keepdims: bool = True
    select_last_index: bool = False

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, NUMBERS)
        shape = reduced_shape(input.shape, (self.axis,), self.keepdims)
        if input.shape[self.axis] == 0:
            raise TypeMismatch(f"{self.name} has nothing to choose from along axis {self.axis} of {input}")
        return TensorType(Kind.I64, shape)

    def first(self, input: Array, **along: Any) -> Any:
        """The index of the first of the elements sought, for ``axis`` and ``keepdims`` as NumPy takes them."""
        raise NotImplementedError

    def evaluate(self, input: Array) -> Array:
        wide = input.astype(np.float64) if TensorType.of(input).kind.is_float else input
        along = {"axis": self.axis, "keepdims": self.keepdims}
        if not self.select_last_index:
            return np.asarray(self.first(wide, **along), np.int64)
        return np.asarray(input.shape[self.axis] - 1 - self.first(np.flip(wide, self.axis), **along), np.int64)


@dataclass(frozen=True)
class ArgMax(Search):
    """Where the largest element stands along ``axis``; NaN counts as larger than any number (ONNX ArgMax)"""

    def first(self, input: Array, **along: Any) -> Any:
        return np.argmax(input, **along)


@dataclass(frozen=True)
class ArgMin(Search):
    """Where the smallest element stands along ``axis``; NaN counts as smaller than any number (ONNX ArgMin)"""

    def first(self, input: Array, **along: Any) -> Any:
        return np.argmin(input, **along)


def extent(type: TensorType, axes: tuple[int, ...]) -> int | Expr:
    """How many elements are reduced to one."""
    return product(type.shape[axis] for axis in axes)


def wide(e: Emitter[T], input: T) -> T:
    """``input`` in a kind in which its sums do not overflow: f32 for half-precision floats, f64 for integers."""
    kind = e.type_of(input).kind
    target = kind if kind in (Kind.F64, Kind.F32) else Kind.F32 if kind in FLOATS else Kind.F64
    return cast(e, input, target)


def cast(e: Emitter[T], input: T, kind: Kind) -> T:
    """``input`` as elements of ``kind``, which it may be already."""
    return input if e.type_of(input).kind is kind else e.add(Cast(kind), input)


@dataclass(frozen=True)
class CompositeReduction(Composite):
    """A composite that reduces ``axes``; half-precision floats are computed in f32, integers where need be in f64."""

    axes: tuple[int, ...]
    keepdims: bool = True


@dataclass(frozen=True)
class ReduceMean(CompositeReduction):
    """The sum, divided by how many there are; of integers, rounded toward zero (ONNX ReduceMean)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        addends = wide(e, input) if type.kind.is_float else input
        total = e.add(ReduceSum(self.axes, self.keepdims), addends)
        return cast(e, e.add(Div(), total, scalar(e, extent(type, self.axes), total)), type.kind)


@dataclass(frozen=True)
class ReduceL1(CompositeReduction):
    """``sum(|input|)`` (ONNX ReduceL1)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(ReduceSum(self.axes, self.keepdims), e.add(Abs(), input))


@dataclass(frozen=True)
class ReduceSumSquare(CompositeReduction):
    """``sum(input²)`` (ONNX ReduceSumSquare)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        root = wide(e, input) if type.kind.is_float else input
        return cast(e, e.add(ReduceSum(self.axes, self.keepdims), e.add(Mul(), root, root)), type.kind)


@dataclass(frozen=True)
class ReduceL2(CompositeReduction):
    """``sqrt(sum(input²))`` (ONNX ReduceL2)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        squares = e.add(ReduceSumSquare(self.axes, self.keepdims), wide(e, input))
        return cast(e, e.add(Sqrt(), squares), e.type_of(input).kind)


@dataclass(frozen=True)
class ReduceLogSum(CompositeReduction):
    """``log(sum(input))`` (ONNX ReduceLogSum)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        total = e.add(ReduceSum(self.axes, self.keepdims), wide(e, input))
        return cast(e, e.add(Log(), total), e.type_of(input).kind)


@dataclass(frozen=True)
class ReduceLogSumExp(CompositeReduction):
    """``log(sum(exp(input)))`` (ONNX ReduceLogSumExp)

    Computed as ``log(sum(exp(input - m))) + m`` with the maximum m, so that nothing overflows.
    """

    def expand(self, e: Emitter[T], input: T) -> T:
        exponent = wide(e, input)
        largest = e.add(ReduceMax(self.axes), exponent)
        # An infinite maximum must not be subtracted: inf - inf is NaN.
        is_finite = e.add(Less(), e.add(Abs(), largest), scalar(e, math.inf, largest))
        shift = e.add(Select(), is_finite, largest, scalar(e, 0, largest))
        powers = e.add(Exp(), e.add(Sub(), exponent, shift))
        result = e.add(Add(), e.add(Log(), e.add(ReduceSum(self.axes), powers)), shift)
        if not self.keepdims:
            result = e.add(Reshape(reduced_shape(e.type_of(input).shape, self.axes, False)), result)
        return cast(e, result, e.type_of(input).kind)
