"""Convolution: sums of products under a window that slides over the spatial dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.linear import factors, kind_of_sums, sums
from glowpy_ir.types import Array, TensorType
from glowpy_ir.windows import Windows


@dataclass(frozen=True)
class Conv(Primitive):
    """The sum of products of ``weights`` with each window of ``input``, plus ``bias``.

    ``input [N, C, *spatial]``, ``weights [M, C / groups, *kernel]``, ``bias [M]``: ``[N, M, *count]``. Each spatial
    dimension has ``before`` and ``after`` zeros around it. The channels fall into ``groups`` that know nothing of
    each other: result channels ``g * M / groups …`` see input channels ``g * C / groups …``. (The weights are not
    flipped: what ONNX calls Conv is a correlation.) Of integers of i8, u8 and i16, in any combination, the bias and the
    result are of i32.
    """

    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int = 1

    def windows(self, kernel: tuple[int, ...]) -> Windows:
        return Windows(kernel, self.strides, self.before, self.after, self.dilations)

    def infer(self, input: TensorType, weights: TensorType, bias: TensorType | None = None) -> TensorType:
        kind = kind_of_sums("Conv", input, weights)
        if weights.rank != input.rank or input.rank < 3:
            raise TypeMismatch(f"Conv takes [N, C, *spatial] and [M, C/groups, *kernel], not {input} and {weights}")
        (channels, *_), (results, depth, *_) = input.shape[1:], weights.shape
        if self.groups < 1 or (isinstance(results, int) and results % self.groups):
            raise TypeMismatch(f"the {results} channels of the result do not fall into {self.groups} groups")
        if channels != depth * self.groups and is_static((channels, depth)):
            raise TypeMismatch(f"{weights} in {self.groups} groups needs {depth * self.groups} channels, not {input}")
        if bias and (bias.kind, bias.shape) != (kind, (results,)):
            raise TypeMismatch(f"the bias of {weights} must be {kind.value}[{results}], not {bias}")
        kernel = weights.with_shape(*weights.shape[2:]).extents
        return TensorType(kind, (input.shape[0], results, *self.windows(kernel).count(input)))

    def evaluate(self, input: Array, weights: Array, bias: Array | None = None) -> Array:
        data, matrix = factors(input), factors(weights)
        type = self.infer(TensorType.of(input), TensorType.of(weights))
        shape = type.extents
        batch, depth, results = shape[0], weights.shape[1], weights.shape[0] // self.groups
        by_tap = np.moveaxis(matrix.reshape(self.groups, results, depth, -1), -1, 0)
        total = np.zeros((batch, self.groups, results, math.prod(shape[2:])), data.dtype)
        for matrices, (_, under) in zip(by_tap, self.windows(weights.shape[2:]).taps(data, 0), strict=True):
            columns = under.reshape(batch, self.groups, depth, total.shape[-1])
            total += np.matmul(np.ascontiguousarray(matrices), columns)
        result = total.reshape(shape)
        if bias is not None:
            result += bias.reshape(-1, *(1,) * (input.ndim - 2)).astype(data.dtype)
        return sums(result, type.kind)
