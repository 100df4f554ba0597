"""Convolution as the CPU computes it: a blocked image, and weights packed for one algorithm and tiling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from glowpy_backends.cpu.blocked import blocks, pack, packed_type, places, unpack
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.kernels import convolution, depthwise, winograd
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.pairs import as_pairs, pair_up, take_apart
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling
from glowpy_backends.cpu.view import View
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.types import Array, TensorType


class Algorithm(Protocol):
    """A way to compute a convolution; a frozen dataclass, so that it can be an attribute."""

    def halo(self, spec: Convolution) -> tuple[int, int, int, int]:
        """How many rows or columns around the image it reads: at the top, left, bottom and right."""
        ...

    def pack(self, weights: Array, spec: Convolution) -> Array:
        """``weights [O, C/groups, KH, KW]`` as its kernel reads them, flat."""
        ...

    def unpack(self, packed: Array, spec: Convolution) -> Array:
        """The weights that were packed."""
        ...

    def kernel(self, spec: Convolution, target: Target) -> Kernel: ...


def in_pairs(spec: Convolution) -> Convolution:
    """A convolution of integers of 16 bits as one of pairs of channels; any other as it is."""
    if not spec.is_narrow:
        return spec
    channels = spec.groups * -(-spec.in_channels // spec.groups // 2)
    return replace(spec, image=as_pairs(spec.image), in_channels=channels, pairs=True)


def weights_shape(spec: Convolution) -> tuple[int, ...]:
    """``(O, C/groups, KH, KW)``"""
    return spec.out_channels, spec.in_channels // spec.groups, *spec.kernel


def undo_permutation(packed: Array, algorithm: Algorithm, spec: Convolution) -> Array:
    """The weights of which ``packed`` is a reordering with zeros between."""
    shape = weights_shape(spec)
    count = int(np.prod(shape))
    places = algorithm.pack(np.arange(1, count + 1, dtype=np.int64).reshape(shape), spec)
    weights = np.zeros(count, packed.dtype)
    weights[places[places > 0] - 1] = packed[places > 0]
    return weights.reshape(shape)


@dataclass(frozen=True, slots=True)
class Direct:
    """The sum over the window, as it is defined; channels are taken in ``pairs`` if they are of 16 bits."""

    tiling: Tiling
    pairs: bool = False

    def halo(self, spec: Convolution) -> tuple[int, int, int, int]:
        return convolution.halo(spec)

    def pack(self, weights: Array, spec: Convolution) -> Array:
        factors = pair_up(weights, 1) if spec.is_narrow else weights
        return convolution.pack_weights(factors, in_pairs(spec), self.tiling)

    def unpack(self, packed: Array, spec: Convolution) -> Array:
        weights = undo_permutation(packed, self, in_pairs(spec))
        return take_apart(weights, 1, weights_shape(spec)[1]) if spec.is_narrow else weights

    def kernel(self, spec: Convolution, target: Target) -> Kernel:
        return convolution.convolution(in_pairs(spec), self.tiling, target)


@dataclass(frozen=True, slots=True)
class Depthwise:
    """The sum over the window of one channel, for whole vectors of channels."""

    def halo(self, spec: Convolution) -> tuple[int, int, int, int]:
        return convolution.halo(spec)

    def pack(self, weights: Array, spec: Convolution) -> Array:
        return depthwise.pack_weights(weights, spec)

    def unpack(self, packed: Array, spec: Convolution) -> Array:
        return undo_permutation(packed, self, spec)

    def kernel(self, spec: Convolution, target: Target) -> Kernel:
        return depthwise.depthwise(spec, target)


@dataclass(frozen=True, slots=True)
class Winograd:
    """Tiles of ``m x m`` results from transformed tiles of the image."""

    m: int
    tiling: Tiling

    def halo(self, spec: Convolution) -> tuple[int, int, int, int]:
        return winograd.halo(winograd.Winograd(spec, self.m))

    def pack(self, weights: Array, spec: Convolution) -> Array:
        return winograd.pack_weights(weights, winograd.Winograd(spec, self.m), self.tiling)

    def unpack(self, packed: Array, spec: Convolution) -> Array:
        return winograd.unpack_weights(packed, winograd.Winograd(spec, self.m), self.tiling)

    def kernel(self, spec: Convolution, target: Target) -> Kernel:
        return winograd.winograd(winograd.Winograd(spec, self.m), self.tiling, target)


@dataclass(frozen=True)
class PackedConv(Primitive):
    """``conv`` of a blocked image, with weights that were packed for ``algorithm``.

    ``image [N, C/b, H, W, b]``, or ``[N, C, H, W]`` where the channels are too few for blocks; ``weights`` flat;
    ``bias [1, O/b, 1, 1, b]``; the result is ``[N, O/b, OH, OW, b]``. Image and result are in ``parts``. Lanes of the
    result that have no channel are zero. If the image is of i16, bias and result are of i32, and an image of few
    channels is one block of them.
    """

    conv: Conv
    kernel: tuple[int, int]
    channels: int
    results: int
    lanes: int
    algorithm: Algorithm
    parts: int = 1

    def infer(self, image: TensorType, weights: TensorType, bias: TensorType | None = None) -> TensorType:
        if image.rank == 5 and image.extents[1] != blocks(self.channels, image.extents[4], self.parts):
            raise TypeMismatch(f"{image} does not hold {self.channels} channels in {self.parts} parts")
        batch, _, height, width, *_ = image.extents
        plain = image.with_shape(batch, self.channels, height, width)
        factors = image.with_shape(self.results, self.channels // self.conv.groups, *self.kernel)
        result = packed_type(self.conv.infer(plain, factors), self.lanes, self.parts)
        if bias and bias.shape != (1, result.shape[1], 1, 1, self.lanes):
            raise TypeMismatch(f"the bias of {result} must be [1,{result.shape[1]},1,1,{self.lanes}], not {bias}")
        return result

    def evaluate(self, image: Array, weights: Array, bias: Array | None = None) -> Array:
        spec = self.specification(TensorType.of(image))
        plain = unpack(image)[:, places(self.channels, image.shape[-1], self.parts)] if image.ndim == 5 else image
        result = self.conv.evaluate(plain, self.algorithm.unpack(weights, spec).astype(image.dtype))
        packed = pack(result, self.lanes, self.parts)
        return packed if bias is None else packed + bias

    def margins(self, index: int, *operands: TensorType) -> tuple[tuple[int, int], ...]:
        if index != 0:
            return ()
        top, left, bottom, right = self.algorithm.halo(self.specification(operands[0]))
        around = ((0, 0), (0, 0), (top, bottom), (left, right))
        return around if operands[0].rank == 4 else (*around, (0, 0))

    def specification(self, image: TensorType) -> Convolution:
        """What the kernel computes, for operands that lie densely."""
        result = self.infer(image, image)
        return self.lying(View.dense(image.kind, image.extents), View.dense(result.kind, result.extents), Epilogue())

    def lying(self, image: View, result: View, epilogue: Epilogue) -> Convolution:
        """What the kernel computes, for operands that lie like this."""
        (sy, sx), (dy, dx), (py, px) = self.conv.strides, self.conv.dilations, self.conv.before
        return Convolution(
            image, result, self.channels, self.results, self.kernel, (sy, sx), (dy, dx), (py, px),
            self.conv.groups, epilogue, self.parts,
        )  # fmt: skip
