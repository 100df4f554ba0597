"""Pooling: what is largest, or usual, under each window that slides over the spatial dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from glowpy_ir.dims import Dim, product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.elementwise import FLOATS, NUMBERS, Mul, Pow, Splat, require_kind, scalar, widened
from glowpy_ir.ops.functions import Abs, Sqrt
from glowpy_ir.ops.indexing import ScatterND
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.reduction import ReduceMax, ReduceMean, ReduceSum, bounds, cast, wide
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.windows import Windows


@dataclass(frozen=True)
class Pooling(Primitive):
    """A primitive that makes one number of each window: ``input [N, C, *spatial]``, result ``[N, C, *count]``."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    kinds: ClassVar[frozenset[Kind]] = NUMBERS

    @property
    def windows(self) -> Windows:
        return Windows(self.kernel, self.strides, self.before, self.after, self.dilations)

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, self.kinds)
        return input.with_shape(*input.shape[:2], *self.windows.count(input))


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The largest element under each window; padding is smaller than all."""

    def evaluate(self, input: Array) -> Array:
        taps = (under for _, under in self.windows.taps(input, bounds(TensorType.of(input).kind)[0]))
        result = next(taps).copy()
        for under in taps:
            np.maximum(result, under, out=result)
        return result


@dataclass(frozen=True)
class AveragePool(Pooling):
    """The mean of the elements under each window, with or without the zeros of the padding.

    ``overhang`` is the part of ``after`` that never counts: how far the last window of ONNX's ceil_mode leaves even
    the padded tensor.
    """

    count_include_pad: bool = False
    overhang: tuple[int, ...] = ()
    kinds = FLOATS

    def infer(self, input: TensorType) -> TensorType:
        if self.overhang and len(self.overhang) != len(self.after):
            raise TypeMismatch(f"the overhang {self.overhang} needs an entry for each of {self.after}")
        return super().infer(input)

    def evaluate(self, input: Array) -> Array:
        total = sum(under for _, under in self.windows.taps(widened(input), 0))
        return (total / self.counts(input.shape[2:])).astype(input.dtype)

    def counts(self, spatial: tuple[int, ...]) -> Array:
        """By how much each sum is divided: float32 ``[*count]``."""
        field = self.windows.pad(np.ones((1, 1, *spatial), np.float32), float(self.count_include_pad))
        for axis, extent in enumerate(self.overhang, start=2):
            field[(slice(None),) * axis + (slice(field.shape[axis] - extent, None),)] = 0
        none = (0,) * len(spatial)
        taps = replace(self.windows, before=none, after=none).taps(field, 0)
        count = np.sum([under[0, 0] for _, under in taps], axis=0, dtype=np.float32)
        return np.asarray(np.maximum(count, 1))


@dataclass(frozen=True)
class ArgMaxPool(Pooling):
    """Where the largest element under each window stands, as i64; of equal ones the first.

    It is told as its index in the whole tensor, laid out as a row after the other; or, if ``column_major``, with the
    spatial dimensions in the opposite order (ONNX MaxPool's Indices, storage_order).
    """

    column_major: bool = False

    def infer(self, input: TensorType) -> TensorType:
        return super().infer(input).with_kind(Kind.I64)

    def evaluate(self, input: Array) -> Array:
        planes, spatial = math.prod(input.shape[:2]), input.shape[2:]
        order = tuple(reversed(range(len(spatial)))) if self.column_major else tuple(range(len(spatial)))
        inside = np.arange(math.prod(spatial)).reshape([spatial[d] for d in order]).transpose(np.argsort(order))
        first = np.arange(planes).reshape(*input.shape[:2], *(1 for _ in spatial)) * inside.size
        candidates = zip(
            self.windows.taps(input, bounds(TensorType.of(input).kind)[0]),
            self.windows.taps(first + inside, -1),
            strict=True,
        )
        (_, best), (_, places) = next(candidates)
        best, result = best.copy(), places.copy()
        for (_, under), (_, at) in candidates:
            better = (at >= 0) & ((under > best) | (result < 0) | ((under != under) & (best == best)))
            np.copyto(best, under, where=better)
            np.copyto(result, at, where=better)
        return result


@dataclass(frozen=True)
class MaxUnpool(Composite):
    """A tensor of ``shape`` that is zero but for the elements of ``input``, which stand at ``places``.

    A place is an index into the whole tensor, as ``ArgMaxPool`` makes them (ONNX MaxUnpool).
    """

    shape: tuple[Dim, ...]

    def expand(self, e: Emitter[T], input: T, places: T) -> T:
        type = e.type_of(input)
        if e.type_of(places).shape != type.shape:
            raise TypeMismatch(f"each element of {type} needs a place, not {e.type_of(places)}")
        count = product(type.shape)
        zeros = e.add(Splat(0, type.kind, (product(self.shape),)))
        flat = e.add(ScatterND(), zeros, e.add(Reshape((count, 1)), places), e.add(Reshape((count,)), input))
        return e.add(Reshape(self.shape), flat)


@dataclass(frozen=True)
class LpPool(Composite):
    """``sum(|element| ** p) ** (1 / p)`` under each window; padding is zero (ONNX LpPool)."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    p: int = 2

    def expand(self, e: Emitter[T], input: T) -> T:
        mean = AveragePool(self.kernel, self.strides, self.before, self.after, self.dilations, count_include_pad=True)
        powers = e.add(mean, _power(e, wide(e, input), self.p))
        total = e.add(Mul(), powers, scalar(e, math.prod(self.kernel), powers))
        return cast(e, _root(e, total, self.p), e.type_of(input).kind)


@dataclass(frozen=True)
class GlobalAveragePool(Composite):
    """The mean over all spatial dimensions, which stay with extent one (ONNX GlobalAveragePool)."""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(ReduceMean(_spatial(e.type_of(input))), input)


@dataclass(frozen=True)
class GlobalMaxPool(Composite):
    """The largest element over all spatial dimensions, which stay with extent one (ONNX GlobalMaxPool)."""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(ReduceMax(_spatial(e.type_of(input))), input)


@dataclass(frozen=True)
class GlobalLpPool(Composite):
    """``sum(|element| ** p) ** (1 / p)`` over all spatial dimensions (ONNX GlobalLpPool)."""

    p: int = 2

    def expand(self, e: Emitter[T], input: T) -> T:
        total = e.add(ReduceSum(_spatial(e.type_of(input))), _power(e, wide(e, input), self.p))
        return cast(e, _root(e, total, self.p), e.type_of(input).kind)


def _spatial(type: TensorType) -> tuple[int, ...]:
    if type.rank < 3:
        raise TypeMismatch(f"{type} has no spatial dimensions [N, C, *spatial]")
    return tuple(range(2, type.rank))


def _power(e: Emitter[T], input: T, p: int) -> T:
    """``|input| ** p``"""
    if p == 2:
        return e.add(Mul(), input, input)
    size = e.add(Abs(), input)
    return size if p == 1 else e.add(Pow(), size, scalar(e, p, size))


def _root(e: Emitter[T], input: T, p: int) -> T:
    """The number whose ``p``-th power is ``input``."""
    if p == 2:
        return e.add(Sqrt(), input)
    return input if p == 1 else e.add(Pow(), input, scalar(e, 1 / p, input))
