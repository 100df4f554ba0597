"""Operators that compare elements to find the first ones, or their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import NUMBERS, require_kind, widened
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class TopK(Primitive):
    """The ``count`` largest (or smallest) elements along ``axis``, in that order, and where they stood (ONNX TopK)

    Of equal elements the one with the lower index comes first; NaN is larger than any number.
    """

    axis: int
    count: Dim
    largest: bool = True

    def infer(self, input: TensorType) -> tuple[TensorType, TensorType]:
        require_kind(self.name, input.kind, NUMBERS)
        if not 0 <= self.axis < input.rank:
            raise TypeMismatch(f"no axis {self.axis} in {input}")
        extent = input.shape[self.axis]
        if isinstance(self.count, int) and isinstance(extent, int) and not 0 <= self.count <= extent:
            raise TypeMismatch(f"{input} has no {self.count} elements along axis {self.axis}")
        values = input.with_shape(*input.shape[: self.axis], self.count, *input.shape[self.axis + 1 :])
        return values, values.with_kind(Kind.I64)

    def evaluate(self, input: Array) -> tuple[Array, Array]:
        order = _stable_order(widened(input), self.axis, self.largest)
        (extent,) = TensorType(Kind.I64, (self.count,)).extents
        first = np.take(order, np.arange(extent), self.axis)
        return np.take_along_axis(input, first, self.axis), first.astype(np.int64)


@dataclass(frozen=True)
class RowOrder(Primitive):
    """The numbers of the rows of ``input`` in the order of the rows: ``[n, m]`` makes ``i64[n]``

    Rows are compared element by element from the first on; NaN is larger than any number. Equal rows keep their order.
    """

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, NUMBERS | {Kind.BOOL, Kind.STRING})
        if input.rank != 2:
            raise TypeMismatch(f"{self.name} takes a matrix, not {input}")
        return TensorType(Kind.I64, input.shape[:1])

    def evaluate(self, input: Array) -> Array:
        order = np.arange(input.shape[0])
        for column in reversed(widened(input).T):
            order = order[np.argsort(column[order], kind="stable")]
        return order


def _stable_order(input: Array, axis: int, descending: bool) -> Array:
    if not descending:
        return np.argsort(input, axis, kind="stable")
    backwards = np.argsort(np.flip(input, axis), axis, kind="stable")
    return np.asarray(input.shape[axis] - 1 - np.flip(backwards, axis))
