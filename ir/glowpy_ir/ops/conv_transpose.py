"""Transposed convolution: it enlarges where convolution shrinks.

It becomes a convolution of stride one that makes ``stride`` neighbours of the result at once, as channels, which are
then interleaved (sub-pixel convolution, Shi et al., arXiv 1609.05158). No product has an inserted zero as a factor.

In one dimension, ``result[i * stride + tap * dilation - before] += input[i] * weights[tap]``. With the weights spread
to ``w[tap * dilation]`` and padded to a multiple of the stride, element ``q * stride + phase`` of the uncut result is
``Σ_t input[q - t] * w[t * stride + phase]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glowpy_ir.dims import Dim, is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Splat
from glowpy_ir.ops.movement import Expand, Pad, Reshape, Slice, Transpose
from glowpy_ir.types import TensorType


@dataclass(frozen=True)
class ConvTranspose(Composite):
    """Each element of ``input`` adds a scaled copy of the weights to the result (ONNX ConvTranspose).

    ``input [N, C, *spatial]``, ``weights [C, M / groups, *kernel]``, ``bias [M]``: ``[N, M, *extent]`` with
    ``extent = (dim - 1) * stride + (kernel - 1) * dilation + 1 - before - after + extra``. The copies lie ``stride``
    apart; ``before`` and ``after`` is cut from what they cover, and ``extra`` is added at its end.
    """

    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int
    extra: tuple[int, ...]

    def expand(self, e: Emitter[T], input: T, weights: T, bias: T | None = None) -> T:
        axes = self._axes(e.type_of(input), e.type_of(weights))
        if any(axis.is_apart for axis in axes):
            return self._untouched(e, input, weights, bias, axes)
        bank = self._bank(e, weights, axes)
        biases = () if bias is None else (self._biases(e, bias, e.type_of(weights)),)
        ones = (1,) * len(axes)
        conv = Conv(ones, tuple(a.before for a in axes), tuple(a.after for a in axes), ones, self.groups)
        return self._interleave(e, e.add(conv, self._cropped(e, input, axes), bank, *biases), axes)

    def _axes(self, image: TensorType, weights: TensorType) -> list[_Axis]:
        parts = (self.strides, self.before, self.after, self.dilations, self.extra)
        if weights.rank != image.rank or image.rank < 3 or any(len(part) != image.rank - 2 for part in parts):
            raise TypeMismatch(f"{self} takes [N, C, *spatial] and [C, M/groups, *kernel], not {image} and {weights}")
        if min((*self.strides, *self.dilations, self.groups)) < 1 or min((*self.before, *self.after, *self.extra)) < 0:
            raise TypeMismatch(f"strides, dilations and groups must be positive, padding not negative: {self}")
        channels = (image.shape[1], weights.shape[0])
        if is_static(channels) and (channels[0] != channels[1] or weights.extents[0] % self.groups):
            raise TypeMismatch(f"{weights} in {self.groups} groups does not fit the channels of {image}")
        kernel = weights.with_shape(*weights.shape[2:]).extents
        axes = [_Axis(*entry) for entry in zip(image.shape[2:], kernel, *parts, strict=True)]
        if any(isinstance(axis.extent, int) and axis.extent < 1 for axis in axes):
            raise TypeMismatch(f"nothing is left of {image} under {weights}: {self}")
        return axes

    def _bank(self, e: Emitter[T], weights: T, axes: list[_Axis]) -> T:
        """The weights ``[M * phases, C / groups, *taps]`` of the convolution that makes all phases."""
        channels, results, *kernel = e.type_of(weights).extents
        rank = len(axes)
        gaps = tuple(gap for axis in axes for gap in (0, axis.dilation - 1))
        apart = e.add(Reshape((channels, results, *(n for k in kernel for n in (k, 1)))), weights)
        apart = e.add(Pad((0,) * (2 + 2 * rank), (0, 0, *gaps)), apart)
        spread = tuple(axis.kernel * axis.dilation for axis in axes)
        kept = tuple(min(axis.length, n) for axis, n in zip(axes, spread, strict=True))
        whole = e.add(Reshape((channels, results, *spread)), apart)
        whole = e.add(Slice((0,) * (2 + rank), (channels, results, *kept), (1,) * (2 + rank)), whole)
        missing = tuple(axis.length - n for axis, n in zip(axes, kept, strict=True))
        whole = e.add(Pad((0,) * (2 + rank), (0, 0, *missing)), whole)

        inner = channels // self.groups
        split = (n for axis in axes for n in (axis.taps, axis.stride))
        parts = e.add(Reshape((self.groups, inner, results, *split)), whole)
        parts = e.add(Transpose((0, 2, *range(4, 4 + 2 * rank, 2), 1, *range(3, 3 + 2 * rank, 2))), parts)
        shape = (self.groups * results * math.prod(self.strides), inner, *(axis.taps for axis in axes))
        flipped = Slice((0, 0, *(axis.taps - 1 for axis in axes)), shape, (1, 1, *(-1 for _ in axes)))
        return e.add(flipped, e.add(Reshape(shape), parts))

    def _untouched(self, e: Emitter[T], input: T, weights: T, bias: T | None, axes: list[_Axis]) -> T:
        """The result where all copies of the weights are cut off, and only ``extra`` is left: zeros, or the bias."""
        image, results = e.type_of(input), e.type_of(weights).shape[1] * self.groups
        shape = (image.shape[0], results, *(axis.extent for axis in axes))
        zeros = e.add(Splat(0, image.kind, shape))
        if bias is None:
            return zeros
        return e.add(Add(), zeros, e.add(Reshape((results, *(1 for _ in axes))), bias))

    def _biases(self, e: Emitter[T], bias: T, weights: TensorType) -> T:
        """The bias of each channel once for each phase."""
        channels, phases = weights.shape[1] * self.groups, math.prod(self.strides)
        if e.type_of(bias).shape != (channels,):
            raise TypeMismatch(f"the bias of {weights} must be [{channels}], not {e.type_of(bias)}")
        every = e.add(Expand((channels, phases)), e.add(Reshape((channels, 1)), bias))
        return e.add(Reshape((channels * phases,)), every)

    def _cropped(self, e: Emitter[T], input: T, axes: list[_Axis]) -> T:
        """The input without what only elements see that are cut off."""
        starts = (0, 0, *(axis.cropped_before for axis in axes))
        ends = (0, 0, *(axis.cropped_after for axis in axes))
        if not any((*starts, *ends)):
            return input
        shape = e.type_of(input).shape
        left = tuple(dim - start - end for dim, start, end in zip(shape, starts, ends, strict=True))
        return e.add(Slice(starts, left, (1,) * len(shape)), input)

    def _interleave(self, e: Emitter[T], phases: T, axes: list[_Axis]) -> T:
        """``[N, M * phases, *count]`` as ``[N, M, *extent]``."""
        batch, channels, *counts = e.type_of(phases).shape
        results, rank = channels // math.prod(self.strides), len(axes)
        parts = e.add(Reshape((batch, results, *self.strides, *counts)), phases)
        order = (n for i in range(rank) for n in (2 + rank + i, 2 + i))
        parts = e.add(Transpose((0, 1, *order)), parts)
        whole = (count * axis.stride for count, axis in zip(counts, axes, strict=True))
        starts = (0, 0, *(axis.cut_before % axis.stride for axis in axes))
        shape = (batch, results, *(axis.extent for axis in axes))
        return e.add(Slice(starts, shape, (1,) * (2 + rank)), e.add(Reshape((batch, results, *whole)), parts))


@dataclass(frozen=True, slots=True)
class _Axis:
    """One spatial dimension: the convolution makes ``count`` runs of ``stride`` elements, which hold the result."""

    dim: Dim
    kernel: int
    stride: int
    cut_before: int
    cut_after: int
    dilation: int
    extra: int

    @property
    def reach(self) -> int:
        return (self.kernel - 1) * self.dilation + 1

    @property
    def taps(self) -> int:
        """The extent of the convolution's kernel."""
        return -(-self.reach // self.stride)

    @property
    def length(self) -> int:
        """The extent of the weights, spread and padded."""
        return self.taps * self.stride

    @property
    def extent(self) -> Dim:
        """The extent of the result."""
        return self.dim * self.stride + self._growth

    @property
    def _growth(self) -> int:
        return self.reach - self.stride + self.extra - self.cut_before - self.cut_after

    @property
    def _lead(self) -> int:
        """Zeros before the input; negative if some of it is cropped."""
        return self.taps - 1 - self.cut_before // self.stride

    @property
    def _trail(self) -> int:
        """Zeros after the input; negative if some of it is cropped."""
        more = -(-(self.cut_before % self.stride + self._growth) // self.stride)  # runs beyond one for each element
        return more + self.taps - 1 - self._lead

    @property
    def before(self) -> int:
        return max(self._lead, 0)

    @property
    def after(self) -> int:
        return max(self._trail, 0)

    @property
    def is_apart(self) -> bool:
        """Whether no element of the input reaches the result."""
        return isinstance(self.dim, int) and self.dim + min(self._lead, self._trail) <= 0

    @property
    def cropped_before(self) -> int:
        return max(-self._lead, 0)

    @property
    def cropped_after(self) -> int:
        return max(-self._trail, 0)
