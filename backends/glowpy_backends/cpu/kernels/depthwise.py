"""Depthwise convolution on channel-blocked images: every channel is its own group of one input and one output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glowpy_backends.cpu.blocked import places
from glowpy_backends.cpu.builder import I32, Builder, Index, Ssa
from glowpy_backends.cpu.epilogue import Output, Tile
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.pairs import add_products
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import split

_STRAIGHT = 49
"""Taps of a window that are written out; larger windows loop over their rows."""
_UNITS = 16
"""Units that feed a few threads evenly."""


def is_depthwise(spec: Convolution) -> bool:
    """Whether a convolution is one that this kernel computes."""
    return spec.groups == spec.in_channels == spec.out_channels and spec.in_lanes == spec.lanes


def pack_weights(weights: NDArray[Any], spec: Convolution) -> NDArray[Any]:
    """``weights[C, 1, KH, KW]`` as ``[C/b][KH][KW][b]``, flat; zero for channels that do not exist."""
    padded = np.zeros((spec.out_blocks * spec.lanes, *spec.kernel), weights.dtype)
    padded[places(spec.out_channels, spec.lanes, spec.parts)] = weights[:, 0]
    return np.ascontiguousarray(padded.reshape(spec.out_blocks, spec.lanes, -1).swapaxes(1, 2)).reshape(-1)


def depthwise(spec: Convolution, target: Target) -> Kernel:
    """The kernel; its operands are the result, the image, the packed weights, and those of the epilogue.

    Its halo is that of direct convolution. Units are image x block of channels x block of rows.
    """
    images, blocks, height, width, _ = spec.result.shape
    row_blocks = min(-(-height // 4), -(-_UNITS // (images * blocks)))
    rows = -(-height // row_blocks)
    row_blocks = -(-height // rows)

    def unit(b: Builder, call: Call) -> None:
        result, image, weights, *extra = call.operands
        output = Output(b, spec.result, result, spec.epilogue, extra, spec.lanes)
        plane, first = b.div(call.unit, row_blocks), b.mul(b.rem(call.unit, row_blocks), rows)
        number, block = b.div(plane, blocks), b.rem(plane, blocks)
        element = spec.image.element
        source = b.add(b.mul(number, spec.image.strides[0]), b.mul(block, spec.image.strides[1]))
        window = _Window(
            b,
            spec,
            b.gep(image, source, element),
            b.gep(weights, b.mul(block, math.prod(spec.kernel) * spec.lanes), element),
            target.registers,
        )

        def row(y: Index, _: list[Ssa]) -> None:
            column = 0
            for size, count in split(width, window.pixels):

                def across(i: Index, _: list[Ssa], size: int = size, column: int = column) -> None:
                    x = b.add(b.mul(i, size), column)
                    window.compute(y, x, size, output.tile((number, block, y, x, 0)))

                b.loop(0, count, 1, across)
                column += size * count

        stop = b.add(first, rows)
        b.loop(first, stop if height % rows == 0 else b.smaller(stop, height), 1, row)

    operands = 3 + len(spec.epilogue.views)
    return define_kernel("depthwise", target, operands, images * blocks * row_blocks, 0, unit)


@dataclass(frozen=True)
class _Window:
    """One plane of channels and the window that slides over it."""

    builder: Builder
    spec: Convolution
    plane: Ssa
    weights: Ssa
    registers: int

    @property
    def pixels(self) -> int:
        """Output pixels that are computed side by side: they share the pixels that they read."""
        return 7 if self.registers >= 32 else 4

    def compute(self, y: Index, x: Index, count: int, results: Tile) -> None:
        """``count`` pixels from (y, x) on."""
        b, spec = self.builder, self.spec
        height, width = spec.kernel
        type = spec.sums.vector(spec.lanes)
        sums = [results.start((0, 0, 0, p, 0), spec.lanes, type) for p in range(count)]
        per_row, per_column = spec.image.strides[2:4]
        top = b.sub(b.mul(y, spec.strides[0]), spec.pads[0])
        left = b.sub(b.mul(x, spec.strides[1]), spec.pads[1])
        element = spec.image.element
        corner = b.gep(self.plane, b.add(b.mul(top, per_row), b.mul(left, per_column)), element)

        def line(i: Index, carried: list[Ssa]) -> list[Ssa]:
            source = b.gep(corner, b.mul(i, spec.dilations[0] * per_row), element)
            weights = b.gep(self.weights, b.mul(i, width * spec.lanes), element)
            if width > _STRAIGHT:
                return b.loop(0, width, 1, lambda j, sums: self._taps(source, weights, j, 1, sums), carried)
            return self._taps(source, weights, 0, width, carried)

        if height * width <= _STRAIGHT:
            for i in range(height):
                sums = line(i, sums)
        else:
            sums = b.loop(0, height, 1, line, sums)
        for p, value in enumerate(sums):
            results.finish(value, (0, 0, 0, p, 0), spec.lanes)

    def _taps(self, source: Ssa, weights: Ssa, first: Index, count: int, sums: list[Ssa]) -> list[Ssa]:
        """``count`` taps of one line of the window, from tap ``first`` on; each pixel is loaded once."""
        b, spec = self.builder, self.spec
        element = spec.image.element
        type = element.vector(spec.lanes)
        stride, dilation = spec.strides[1], spec.dilations[1]
        source = b.gep(source, b.mul(first, dilation * spec.image.strides[3]), element)
        weights = b.gep(weights, b.mul(first, spec.lanes), element)
        # Integers of 16 bits are multiplied as the first ones of pairs, of which the second ones are zero.
        multiply_add = add_products if spec.is_narrow else Builder.fma
        factors = [self._wide(b.load(b.gep(weights, j * spec.lanes, element), type)) for j in range(count)]
        loaded: dict[int, Ssa] = {}
        sums = list(sums)
        for p in range(len(sums)):
            for j, factor in enumerate(factors):
                column = p * stride + j * dilation
                if column not in loaded:
                    place = b.gep(source, column * spec.image.strides[3], element)
                    loaded[column] = self._wide(b.load(place, type))
                sums[p] = multiply_add(b, loaded[column], factor, sums[p])
        return sums

    def _wide(self, x: Ssa) -> Ssa:
        return self.builder.cast("zext", x, x.type.with_element(I32)) if self.spec.is_narrow else x
