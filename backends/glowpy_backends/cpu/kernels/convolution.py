"""Direct two-dimensional convolution on channel-blocked images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glowpy_backends.cpu.builder import I32, Builder, Index, Type
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.microkernel import Reduction
from glowpy_backends.cpu.panels import Product, panels_of, product_kernel
from glowpy_backends.cpu.sweep import Nest
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Problem, Tiling, choose, tile_rows
from glowpy_backends.cpu.view import View
from glowpy_ir.types import Kind


@dataclass(frozen=True)
class Convolution:
    """``result[n, o, y, x] = Σ weights[o, c, i, j] * image[n, c, y*s + i*d - pad, x*s + j*d - pad]``

    ``image`` is a view ``[N, C/b, H, W, b]`` of channel blocks, or ``[N, C, H, W]`` if the channels are too few to
    be blocked; ``result`` is a view ``[N, O/b, OH, OW, b]``. Channels may be in ``parts``, each of which begins at a
    block of its own: the groups, or any if every channel is a group. The caller keeps a halo of zeros around each
    plane of the image (see :func:`halo`), so that reading over the edge needs no test. The lanes of the result without
    a channel get the epilogue of 0; those of the image are not read, except in grouped convolutions whose groups are
    not whole blocks, where they must be finite.
    """

    image: View
    result: View
    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    """At the top and at the left; those at the bottom and right follow from the result's shape."""
    groups: int = 1
    epilogue: Epilogue = field(default_factory=Epilogue)
    parts: int = 1
    pairs: bool = False
    """Whether an element of image and weights is an i32 that holds two channels, of 16 bits each."""

    @property
    def is_narrow(self) -> bool:
        """Whether the image has integers of 16 bits, whose products are summed as i32."""
        return self.image.kind is Kind.I16

    @property
    def has_kernel(self) -> bool:
        """Whether the channels can be taken in pairs, if they must be."""
        apart = self.in_channels // self.groups % 2 == 1 and self.groups > 1
        return not (self.is_narrow and apart) or self.groups == self.in_channels == self.out_channels

    @property
    def sums(self) -> Type:
        """What products are summed in."""
        return I32 if self.is_narrow else self.image.element

    @property
    def lanes(self) -> int:
        """Channels in a block of the result."""
        return self.result.shape[-1]

    @property
    def in_lanes(self) -> int:
        """Channels in a block of the image."""
        return self.image.shape[-1] if len(self.image.shape) == 5 else 1

    @property
    def out_blocks(self) -> int:
        return self.result.shape[1]

    @property
    def has_whole_groups(self) -> bool:
        """Whether each group begins at a block of its own."""
        apart = (
            self.in_channels // self.groups % self.in_lanes == 0 and self.out_channels // self.groups % self.lanes == 0
        )
        return self.groups in (1, self.parts) or apart


def halo(spec: Convolution) -> tuple[int, int, int, int]:
    """How many rows or columns outside the image are read: at the top, left, bottom and right."""
    far = [
        (spec.result.shape[2 + d] - 1) * spec.strides[d]
        + (spec.kernel[d] - 1) * spec.dilations[d]
        - spec.pads[d]
        - (spec.image.shape[2 + d] - 1)
        for d in (0, 1)
    ]
    return spec.pads[0], spec.pads[1], max(0, far[0]), max(0, far[1])


@dataclass(frozen=True)
class _Window:
    """Which input channels the panels of a convolution read: ``channels`` of them, from a block on.

    If groups are whole blocks, a panel reads just its group. Otherwise it reads the blocks that cover the groups of
    its channels, ``channels`` at most (planar images: just as many); the weights are zero for what lies in between.
    """

    spec: Convolution
    whole: bool
    channels: int

    @classmethod
    def of(cls, spec: Convolution, vectors: int) -> _Window:
        group_in, group_out = spec.in_channels // spec.groups, spec.out_channels // spec.groups
        if spec.has_whole_groups:
            return cls(spec, True, group_in)
        blocks = 0
        for block, width in _panels(spec, spec.out_blocks, vectors):
            first = block * spec.lanes // group_out * group_in // spec.in_lanes
            end = min((block + width) * spec.lanes, spec.out_channels)
            last = ((end - 1) // group_out + 1) * group_in
            blocks = max(blocks, -(-last // spec.in_lanes) - first)
        return cls(spec, False, blocks * spec.in_lanes)

    @property
    def group_blocks(self) -> int:
        """Panels do not cross a multiple of this many output blocks."""
        return self.spec.out_blocks // self.spec.groups if self.whole else self.spec.out_blocks

    def first_block(self, b: Builder, block: Index) -> Index:
        """The first input block that the panel at output block ``block`` reads."""
        spec = self.spec
        if spec.groups == 1:
            return 0
        group_in, group_out = spec.in_channels // spec.groups, spec.out_channels // spec.groups
        if self.whole:
            return b.mul(b.div(block, self.group_blocks), -(-group_in // spec.in_lanes))
        group = b.div(b.mul(block, spec.lanes), group_out)
        return b.smaller(b.div(b.mul(group, group_in), spec.in_lanes), self._last)

    def count(self, b: Builder, block: Index, width: int) -> Index:
        """How many input blocks the panel at output block ``block``, ``width`` blocks wide, reads."""
        spec = self.spec
        group_in, group_out = spec.in_channels // spec.groups, spec.out_channels // spec.groups
        end = b.smaller(b.mul(b.add(block, width), spec.lanes), spec.out_channels)
        last = b.mul(b.add(b.div(b.sub(end, 1), group_out), 1), group_in)
        return b.sub(b.div(b.add(last, spec.in_lanes - 1), spec.in_lanes), self.first_block(b, block))

    def first_channel(self, block: int) -> int:
        """The same while packing, as a channel; for groups that share blocks."""
        spec = self.spec
        group = block * spec.lanes // (spec.out_channels // spec.groups)
        first = group * (spec.in_channels // spec.groups) // spec.in_lanes
        return min(first, self._last) * spec.in_lanes

    @property
    def _last(self) -> int:
        """The last block that a window may begin at."""
        return -(-self.spec.in_channels // self.spec.in_lanes) - self.channels // self.spec.in_lanes


def _panels(spec: Convolution, group_blocks: int, vectors: int) -> Iterator[tuple[int, int]]:
    """First block and width of each panel."""
    for group in range(0, spec.out_blocks, group_blocks):
        for kind in panels_of(group_blocks, vectors, spec.lanes, spec.lanes):
            for number in range(kind.count):
                yield group + kind.block + number * kind.vectors, kind.vectors


def pack_weights(weights: NDArray[Any], spec: Convolution, tiling: Tiling) -> NDArray[Any]:
    """``weights[O, C/groups, KH, KW]`` as the kernel reads them: ``[panel][C/b][KH][KW][b][vectors * lanes]``.

    The result is flat; channels of the last input block that do not exist take no room.
    """
    window = _Window.of(spec, tiling.vectors)
    group_in, group_out = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    parts: list[NDArray[Any]] = []
    for block, width in _panels(spec, window.group_blocks, tiling.vectors):
        panel = np.zeros((width * spec.lanes, window.channels, *spec.kernel), weights.dtype)
        for group in range(spec.groups):
            # The first channels of the panel and of the group, counted through the lanes.
            if window.whole:
                start, channel = group * window.group_blocks * spec.lanes, 0
            else:
                start, channel = group * group_out, group * group_in - window.first_channel(block)
            first = max(block * spec.lanes, start)
            stop = min((block + width) * spec.lanes, start + group_out)
            if first < stop:
                rows = slice(first - block * spec.lanes, stop - block * spec.lanes)
                panel[rows, channel : channel + group_in] = weights[group * group_out :][first - start : stop - start]
        lanes = spec.in_lanes if spec.in_lanes > 1 else window.channels
        whole = window.channels - window.channels % lanes
        blocked = panel[:, :whole].reshape(panel.shape[0], -1, lanes, *spec.kernel)
        parts.append(blocked.transpose(1, 3, 4, 2, 0).reshape(-1))
        parts.append(panel[:, whole:].transpose(2, 3, 1, 0).reshape(-1))
    return np.concatenate(parts)


def suits_parts(spec: Convolution) -> bool:
    """Whether a convolution whose groups share blocks is done faster if each begins at a block of its own."""
    if spec.has_whole_groups:
        return False
    group_in, group_out = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    apart = spec.groups * -(-group_out // spec.lanes) * group_in
    return 5 * apart < 4 * spec.out_blocks * _Window.of(spec, 1).channels


def tiling_of(spec: Convolution, target: Target) -> Tiling:
    """The tiling that the shape and the target suggest."""
    _, _, height, width, _ = spec.result.shape
    group_in, group_out = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    if not spec.has_whole_groups:
        return Tiling(min(tile_rows(target, 1), 12), 1, min(height, 8))
    taps = spec.kernel[0] * spec.kernel[1]
    deep = group_in if spec.in_lanes == 1 else spec.in_lanes
    problem = Problem(
        height=height,
        width=width,
        blocks=-(-group_out // spec.lanes),
        depth=-(-group_in // deep),
        round_steps=taps * deep,
    )
    return choose(problem, target)


def convolution(spec: Convolution, tiling: Tiling, target: Target) -> Kernel:
    """The kernel; its operands are the result, the image, the packed weights, and those of the epilogue."""
    window = _Window.of(spec, tiling.vectors)
    per_image, per_block, per_row, per_column = spec.image.strides[:4]
    product = Product(
        result=spec.result,
        sums=spec.sums,
        epilogue=spec.epilogue,
        nests=_nests(spec, window.channels),
        left_image=(per_image,),
        left_row=per_row * spec.strides[0],
        left_column=per_column * spec.strides[1],
        left_offset=-spec.pads[0] * per_row - spec.pads[1] * per_column,
        right_image=(0,),
        right_block=window.channels * spec.kernel[0] * spec.kernel[1] * spec.lanes,
        group_blocks=window.group_blocks,
        panel_left=lambda b, block: b.mul(window.first_block(b, block), per_block),
        panel_depth=None if window.whole or spec.in_lanes == 1 else window.count,
        tail=spec.lanes,
        pairs=spec.pairs,
    )
    return product_kernel("convolution", product, tiling, target)


def _nests(spec: Convolution, channels: int) -> tuple[Nest, ...]:
    """The whole blocks of input channels, then a last block that is not full; planar channels are one block."""
    height, width = spec.kernel
    _, per_block, per_row, per_column = spec.image.strides[:4]
    per_row, per_column = per_row * spec.dilations[0], per_column * spec.dilations[1]

    def nest(blocks: int, deep: int, first: int, step: int) -> Nest:
        walk = (
            Reduction(blocks, per_block, height * width * deep * spec.lanes),
            Reduction(height, per_row, width * deep * spec.lanes),
            Reduction(width, per_column, deep * spec.lanes),
            Reduction(deep, step, spec.lanes),
        )
        return Nest(first * per_block, first * height * width * spec.in_lanes * spec.lanes, walk)

    if spec.in_lanes == 1:
        return (nest(1, channels, 0, per_block),)
    whole, rest = divmod(channels, spec.in_lanes)
    nests = [nest(whole, spec.in_lanes, 0, 1)] if whole else []
    return tuple([*nests, nest(1, rest, whole, 1)] if rest else nests)
