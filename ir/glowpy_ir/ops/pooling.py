"""Pooling: what is largest, or usual, under each window that slides over the spatial dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.ops.linear import accumulable
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.windows import Pooling


@dataclass(frozen=True)
class MaxPool(Pooling):
    """The largest element under each window; padding is smaller than all."""

    def evaluate(self, input: Array) -> Array:
        taps = (under for _, under in self.windows.taps(input, lowest(TensorType.of(input).kind)))
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

    def infer(self, input: TensorType) -> TensorType:
        if self.overhang and len(self.overhang) != len(self.after):
            raise TypeMismatch(f"the overhang {self.overhang} needs an entry for each of {self.after}")
        return super().infer(input)

    def evaluate(self, input: Array) -> Array:
        (data,) = accumulable(input)
        total = sum(under for _, under in self.windows.taps(data, 0))
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


def lowest(kind: Kind) -> float:
    """The smallest number of a kind: what padding is for a maximum."""
    return -np.inf if kind.is_float else int(np.iinfo(kind.dtype).min)
