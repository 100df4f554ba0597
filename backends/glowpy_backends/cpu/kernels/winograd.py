"""Winograd convolution: 3x3 windows with stride 1 as products of transformed tiles.

F(m x m, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308): a tile ``d``
of ``a x a`` inputs, ``a = m + 2``, gives ``m x m`` outputs ``Aᵀ [(G g Gᵀ) * (Bᵀ d B)] A``. Summed over channels, each
of the ``a²`` positions is a matrix product of its own, with 2.25 (m = 2) or 4 (m = 4) times fewer multiplications
than the definition has. Rounding errors of m = 4 are about 1e-5 of the largest result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type, index
from glowpy_backends.cpu.epilogue import Epilogue, Output, Tile
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.kernels.winograd_transforms import INPUTS, OUTPUTS, WEIGHTS, Transform
from glowpy_backends.cpu.microkernel import Reduction
from glowpy_backends.cpu.panels import Panels, choose_panel, panels_of
from glowpy_backends.cpu.sweep import Nest, Sweep, sweep
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling, tile_rows
from glowpy_backends.cpu.view import View

_TILES = ((1 << 20, 28), (4 << 20, 56), (1 << 60, 84))
"""Bytes of weights, and how many tiles are then transformed together: few stay in the second-level cache, but every
block of tiles fetches all weights again."""


@dataclass(frozen=True)
class Winograd:
    """A convolution and the size ``m`` of its output tiles, 2 or 4."""

    convolution: Convolution
    m: int

    @property
    def a(self) -> int:
        """The size of an input tile."""
        return self.m + 2

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles down and across the image; the last ones may hang over its edge."""
        _, _, height, width, _ = self.convolution.result.shape
        return -(-height // self.m), -(-width // self.m)

    @property
    def block(self) -> tuple[int, int]:
        """Tiles down and across one block of tiles that are transformed together."""
        down, across = self.grid
        conv = self.convolution
        size = self.a**2 * conv.in_channels * conv.out_channels * conv.result.kind.nbytes
        limit = next(tiles for most, tiles in _TILES if size <= most)
        columns = -(-across // -(-across // (2 * limit)))
        rows = max(1, min(down, limit // columns))
        return -(-down // -(-down // rows)), columns

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks down and across the image; the last ones may have fewer tiles."""
        (down, across), (rows, columns) = self.grid, self.block
        return -(-down // rows), -(-across // columns)


def tile_size(spec: Convolution) -> int | None:
    """The ``m`` that suits a convolution; None if the direct form is faster or the only one.

    On small images the transformed weights, 1.8 or 4 times as large, cost more to fetch than is saved.
    """
    _, _, height, width, _ = spec.result.shape
    if spec.kernel != (3, 3) or spec.strides != (1, 1) or spec.dilations != (1, 1) or spec.groups != 1:
        return None
    if spec.in_lanes == 1 or spec.in_channels < 16 or spec.out_channels < 32 or min(height, width) < 10:
        return None
    size = min(height, width)
    if spec.in_channels > 2 * spec.out_channels:  # few products share the transformed inputs
        return 4 if size >= 40 else 2 if size >= 16 else None
    return 4 if size >= (12 if spec.in_channels * spec.out_channels <= 64 * 64 else 16) else 2


def halo(spec: Winograd) -> tuple[int, int, int, int]:
    """How many rows or columns outside the image are read, all zero: at the top, left, bottom and right."""
    top, left = spec.convolution.pads
    _, _, height, width = spec.convolution.image.shape[:4]
    down, across = spec.grid
    return top, left, max(0, down * spec.m + 2 - top - height), max(0, across * spec.m + 2 - left - width)


def tiling_of(spec: Winograd, target: Target) -> Tiling:
    """The tiling of the ``a²`` products."""
    vectors = min(3 if target.registers >= 32 else 2, spec.convolution.out_blocks)
    return Tiling(min(tile_rows(target, vectors), 12), vectors, 1, prefetch_right=True, prefetch_left=True)


def pack_weights(weights: NDArray[Any], spec: Winograd, tiling: Tiling) -> NDArray[Any]:
    """``weights[O, C, 3, 3]`` transformed, as ``[panel][a²][C][vectors * lanes]``, flat; computed in float64."""
    blocks, lanes = spec.convolution.out_blocks, spec.convolution.lanes
    out_channels, in_channels = weights.shape[:2]
    g = WEIGHTS[spec.m]
    transformed = np.einsum("ai,ocij,bj->aboc", g, weights.astype(np.float64), g, optimize=True)
    padded = np.zeros((spec.a**2, blocks * lanes, in_channels), weights.dtype)
    padded[:, :out_channels] = transformed.reshape(spec.a**2, out_channels, in_channels)
    parts = []
    for kind in panels_of(blocks, tiling.vectors, lanes, lanes):
        for number in range(kind.count):
            first = (kind.block + number * kind.vectors) * lanes
            parts.append(padded[:, first : first + kind.vectors * lanes].transpose(0, 2, 1).reshape(-1))
    return np.concatenate(parts)


def unpack_weights(packed: NDArray[Any], spec: Winograd, tiling: Tiling) -> NDArray[Any]:
    """The weights ``[O, C, 3, 3]`` that were packed, up to rounding."""
    conv = spec.convolution
    transformed = np.zeros((spec.a**2, conv.out_blocks * conv.lanes, conv.in_channels))
    start = 0
    for kind in panels_of(conv.out_blocks, tiling.vectors, conv.lanes, conv.lanes):
        for number in range(kind.count):
            first, width = (kind.block + number * kind.vectors) * conv.lanes, kind.vectors * conv.lanes
            size = spec.a**2 * conv.in_channels * width
            panel = packed[start : start + size].reshape(spec.a**2, conv.in_channels, width)
            transformed[:, first : first + width] = panel.transpose(0, 2, 1)
            start += size
    grid = transformed[:, : conv.out_channels].reshape(spec.a, spec.a, conv.out_channels, conv.in_channels)
    inverse = np.linalg.pinv(WEIGHTS[spec.m])
    weights: NDArray[Any] = np.einsum("ia,aboc,jb->ocij", inverse, grid, inverse, optimize=True)
    return weights.astype(packed.dtype)


def winograd(spec: Winograd, tiling: Tiling, target: Target) -> Kernel:
    """The kernel; its operands are the result, the image, the packed weights, and those of the epilogue.

    Its units are image x block of tiles x panel, panels fastest: the inputs of a block are transformed by the first
    of its units in a call, and wait in the scratch for the others.
    """
    conv = spec.convolution
    kinds = list(panels_of(conv.out_blocks, tiling.vectors, conv.lanes, conv.lanes))
    panels = sum(kind.count for kind in kinds)
    down, across = spec.blocks
    scratch = _Scratch(spec, max(kind.vectors for kind in kinds))

    def unit(b: Builder, call: Call) -> None:
        result, image, weights, *extra = call.operands
        output = Output(b, conv.result, result, conv.epilogue, extra, conv.lanes)
        panel, rest = b.rem(call.unit, panels), b.div(call.unit, panels)
        number, block = b.div(rest, down * across), b.rem(rest, down * across)
        site = _Site.of(b, spec, number, b.div(block, across), b.rem(block, across))

        def transform() -> None:
            _transform_inputs(b, site, scratch, image, call.scratch)

        fresh = b.op("or", call.first, b.compare("eq", index(panel), index(0)))
        b.branch(fresh, transform)

        def panel_of(kind: Panels, which: Index) -> None:
            first = b.add(kind.block, b.mul(which, kind.vectors))
            _multiply(b, scratch, kind, tiling, weights, first, call.scratch)
            _transform_outputs(b, site, scratch, kind, output, first, call.scratch)

        choose_panel(b, kinds, panel, panel_of)

    operands = 3 + len(conv.epilogue.views)
    units = conv.result.shape[0] * down * across * panels
    return define_kernel("winograd", target, operands, units, scratch.size * scratch.type.element_bytes, unit)


@dataclass(frozen=True)
class _Scratch:
    """What a thread keeps of one block of tiles; places are in elements from the start of its scratch.

    First the transformed inputs ``[a²][C/b][tile][b]``, then the products of one panel ``[a²][vectors][tile][b]``,
    then one tile between its transforms along the lines and along the columns ``[a][a][b]``.
    """

    spec: Winograd
    vectors: int

    @property
    def type(self) -> Type:
        conv = self.spec.convolution
        return conv.result.element.vector(conv.lanes)

    @property
    def tiles(self) -> int:
        rows, columns = self.spec.block
        return rows * columns

    @property
    def plane(self) -> int:
        """One block of channels of all tiles."""
        return self.tiles * self.type.lanes

    @property
    def inputs(self) -> int:
        """From one of the ``a²`` positions of all inputs to the next."""
        return self._odd(self.spec.convolution.image.shape[1])

    def position(self, vectors: int) -> int:
        """From one of the ``a²`` positions of the products to the next."""
        return self._odd(vectors)

    def _odd(self, planes: int) -> int:
        """An odd number of vectors: the positions of a tile must not fall into few sets of the cache."""
        return (planes * self.tiles | 1) * self.type.lanes

    @property
    def products(self) -> int:
        """Where the products begin."""
        return self.spec.a**2 * self.inputs

    @property
    def between(self) -> int:
        """Where the tile between its transforms begins."""
        return self.products + self.spec.a**2 * self.position(self.vectors)

    @property
    def size(self) -> int:
        return self.between + self.spec.a**2 * self.type.lanes

    def after_lines(self, b: Builder, y: Index, x: Index) -> Index:
        """Where an element of that tile lies."""
        return b.add(self.between, b.mul(b.add(b.mul(y, self.spec.a), x), self.type.lanes))


@dataclass(frozen=True)
class _Site:
    """A block of tiles of one image: its first tile, and how many tiles it has down and across."""

    spec: Winograd
    image: Index
    row: Index
    column: Index
    rows: Index
    columns: Index

    @classmethod
    def of(cls, b: Builder, spec: Winograd, image: Index, block_row: Index, block_column: Index) -> _Site:
        def extent(first: Index, size: int, total: int) -> Index:
            return size if total % size == 0 else b.smaller(size, b.sub(total, first))

        (rows, columns), (down, across) = spec.block, spec.grid
        row, column = b.mul(block_row, rows), b.mul(block_column, columns)
        return cls(spec, image, row, column, extent(row, rows, down), extent(column, columns, across))

    def each_tile(self, b: Builder, body: Callable[[Index, Index, Index], None]) -> None:
        """Runs ``body`` with the row and column of each tile in the image, and its number in the block."""

        def down(i: Index, _: list[Ssa]) -> None:
            def across(j: Index, _: list[Ssa]) -> None:
                number = b.add(b.mul(i, self.spec.block[1]), j)
                body(b.add(self.row, i), b.add(self.column, j), number)

            b.loop(0, self.columns, 1, across)

        b.loop(0, self.rows, 1, down)


def _transform_inputs(b: Builder, site: _Site, scratch: _Scratch, image: Ssa, memory: Ssa) -> None:
    """``Bᵀ d B`` of every tile of the block, for every channel."""
    spec, conv, type = scratch.spec, scratch.spec.convolution, scratch.type
    a, element = spec.a, type.scalar
    per_image, per_block, per_row, per_column, _ = conv.image.strides
    corner = b.sub(b.mul(site.image, per_image), conv.pads[0] * per_row + conv.pads[1] * per_column)
    image = b.gep(image, corner, element)

    def channels(c: Index, _: list[Ssa]) -> None:
        plane = b.gep(image, b.mul(c, per_block), element)
        place = b.gep(memory, b.mul(c, scratch.plane), element)

        def tile(row: Index, column: Index, number: Index) -> None:
            pixel = b.add(b.mul(row, spec.m * per_row), b.mul(column, spec.m * per_column))
            _two_passes(
                b, scratch, memory, INPUTS[spec.m], a,
                source=b.gep(plane, pixel, element), source_row=per_row, source_column=per_column,
                finish=store(b.gep(place, b.mul(number, type.lanes), element)), columns=a,
            )  # fmt: skip

        site.each_tile(b, tile)

    def store(target: Ssa) -> Callable[[Index, list[Ssa]], None]:
        def column(x: Index, values: list[Ssa]) -> None:
            first = b.gep(target, b.mul(x, scratch.inputs), element)
            for y, value in enumerate(values):
                b.store(value, b.gep(first, y * a * scratch.inputs, element))

        return column

    b.loop(0, conv.image.shape[1], 1, channels)


def _two_passes(
    b: Builder,
    scratch: _Scratch,
    memory: Ssa,
    transform: Transform,
    size: int,
    source: Ssa,
    source_row: int,
    source_column: int,
    finish: Callable[[Index, list[Ssa]], None],
    columns: Index,
) -> None:
    """Transforms the lines of a tile of ``a x a``, then ``columns`` of the ``size`` columns that come of it.

    ``finish`` gets the number of a column and its ``size`` values. What lies between the passes goes through memory:
    a whole tile is more than there are registers.
    """
    type, element, a = scratch.type, scratch.type.scalar, scratch.spec.a

    def line(y: Index, _: list[Ssa]) -> None:
        first = b.gep(source, b.mul(y, source_row), element)
        values = [b.load(b.gep(first, x * source_column, element), type) for x in range(a)]
        for x, value in enumerate(transform(b, values)):
            b.store(value, b.gep(memory, scratch.after_lines(b, y, x), element))

    def column(x: Index, _: list[Ssa]) -> None:
        places = [b.gep(memory, scratch.after_lines(b, y, x), element) for y in range(a)]
        finish(x, transform(b, [b.load(place, type) for place in places]))

    b.loop(0, a, 1, line)
    b.loop(0, columns, 1, column)


def _multiply(
    b: Builder, scratch: _Scratch, kind: Panels, tiling: Tiling, weights: Ssa, first: Index, memory: Ssa
) -> None:
    """The ``a²`` products of all tiles of the block with one panel of weights."""
    spec, type = scratch.spec, scratch.type
    conv, element = spec.convolution, type.scalar
    whole, rest = divmod(conv.in_channels, conv.in_lanes)
    step = kind.vectors * type.lanes

    def nest(blocks: int, deep: int, block: int) -> Nest:
        walk = (Reduction(blocks, scratch.plane, deep * step), Reduction(deep, 1, step))
        return Nest(block * scratch.plane, block * conv.in_lanes * step, walk)

    nests = [nest(whole, conv.in_lanes, 0)] if whole else []
    if rest:
        nests.append(nest(1, rest, whole))
    plan = Sweep(
        type=type,
        vectors=kind.vectors,
        nests=tuple(nests),
        row=0,
        column=type.lanes,
        width=scratch.tiles,
        tail=type.lanes,
        following=conv.in_channels * step,
    )
    view = View(
        conv.result.kind,
        (1, kind.vectors, 1, scratch.tiles, type.lanes),
        (0, scratch.plane, 0, type.lanes, 1),
    )
    panel = b.gep(weights, b.mul(first, spec.a**2 * conv.in_channels * type.lanes), element)

    def position(i: Index, _: list[Ssa]) -> None:
        left = b.gep(memory, b.mul(i, scratch.inputs), element)
        right = b.gep(panel, b.mul(i, plan.following), element)
        sums = b.gep(memory, b.add(scratch.products, b.mul(i, scratch.position(kind.vectors))), element)
        output = Output(b, view, sums, Epilogue(), [], type.lanes)

        def tile_at(y: Index, x: Index) -> Tile:
            return output.tile((0, 0, y, x, 0))

        sweep(b, plan, tiling, left, right, 1, tile_at, memory)

    b.loop(0, spec.a**2, 1, position)


def _transform_outputs(
    b: Builder, site: _Site, scratch: _Scratch, kind: Panels, output: Output, first: Index, memory: Ssa
) -> None:
    """``Aᵀ p A`` of every tile of the block for one panel, through the epilogue into the result."""
    spec, type = scratch.spec, scratch.type
    m, element = spec.m, type.scalar
    _, _, height, width, lanes = spec.convolution.result.shape
    position = scratch.position(kind.vectors)

    def vector(j: Index, _: list[Ssa]) -> None:
        def tile(row: Index, column: Index, number: Index) -> None:
            place = b.add(b.mul(j, scratch.plane), b.mul(number, lanes))
            y, x = b.mul(row, m), b.mul(column, m)

            def finish(dx: Index, values: list[Ssa]) -> None:
                def rows(count: int) -> None:
                    results = output.tile((site.image, b.add(first, j), y, b.add(x, dx), 0))
                    for dy, value in enumerate(values[:count]):
                        delta = (0, 0, dy, 0, 0)
                        results.finish(results.started(value, delta), delta, lanes)

                if height % m == 0:
                    rows(m)
                else:
                    whole = b.less(b.add(y, m - 1), height)
                    b.branch(whole, lambda: rows(m), lambda: rows(height % m))

            _two_passes(
                b, scratch, memory, OUTPUTS[m], m,
                source=b.gep(memory, b.add(scratch.products, place), element),
                source_row=spec.a * position, source_column=position,
                finish=finish, columns=m if width % m == 0 else b.smaller(m, b.sub(width, x)),
            )  # fmt: skip

        site.each_tile(b, tile)

    b.loop(0, kind.vectors, 1, vector)
