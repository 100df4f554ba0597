"""Matrix products over a grid of output pixels as kernels.

Convolutions and matrix multiplications are the same loops: a matrix is an image one pixel wide. Results are views
``[images…, block, y, x, lane]``, where a block is one vector of output channels (or of a matrix's columns).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type, index
from glowpy_backends.cpu.epilogue import Epilogue, Output, Tile
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.sweep import Nest, Sweep, sums_bytes, sweep
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling, split
from glowpy_backends.cpu.view import View


@dataclass(frozen=True)
class Panels:
    """``count`` panels of ``vectors`` blocks, the first at ``block``; ``tail`` lanes of their last vector exist."""

    vectors: int
    block: int
    count: int
    tail: int


def panels_of(blocks: int, limit: int, tail: int, lanes: int) -> Iterator[Panels]:
    """The panels of ``blocks`` blocks, the last of which has ``tail`` lanes."""
    block = 0
    for size, count in split(blocks, limit):
        last = block + size * count == blocks and tail != lanes
        if count > last:
            yield Panels(size, block, count - last, lanes)
        block += size * count
        if last:
            yield Panels(size, blocks - size, 1, tail)


def choose_panel(b: Builder, kinds: Sequence[Panels], panel: Index, body: Callable[[Panels, Index], None]) -> None:
    """Runs ``body`` with the kind of a panel and its number among those of its kind."""
    kind, *others = kinds
    if not others:
        body(kind, panel if kind.count > 1 else 0)
        return
    b.branch(
        b.less(panel, kind.count),
        lambda: body(kind, panel if kind.count > 1 else 0),
        lambda: choose_panel(b, others, b.sub(panel, kind.count), body),
    )


@dataclass(frozen=True)
class Product:
    """``result[n, o, y, x] = epilogue(Σ_k left[n, y, x, k] * right[n, o, k])``, with ``o`` counting blocks.

    Operands of the kernel: the result, left, right, then those of the epilogue. Distances are in elements; those
    between images have one number for each dimension of images. Operands and sums have elements of one size, ``sums``;
    the epilogue may store others.
    """

    result: View
    sums: Type
    epilogue: Epilogue
    nests: tuple[Nest, ...]
    """How the reduced dimension is walked; see ``widens``."""
    left_image: tuple[int, ...]
    left_row: int
    left_column: int
    left_offset: int
    """From the pointer to what the first pixel reads first."""
    right_image: tuple[int, ...]
    right_block: int
    tail: int
    """The lanes of the last block that exist."""
    widens: bool = True
    """Whether the vectors of a panel are interleaved: then ``nests`` tell the steps of a panel of one vector."""
    group_blocks: int = 0
    """Panels do not cross a multiple of this many blocks; 0 for no such limit."""
    panel_left: Callable[[Builder, Index], Index] = lambda b, block: 0
    """Where, besides, the panel that begins at an output block begins to read the left operand."""
    panel_depth: Callable[[Builder, Index, int], Index] | None = None
    """How many rounds of the outermost reduction the panel at a block, so many blocks wide, needs; None for all."""
    pack: Callable[[Builder, Ssa, Panels, Ssa], None] | None = None
    """Writes the panel at a pointer into the scratch (the last argument), from where it is then read, interleaved."""
    packed_bytes: int = 0
    """The most that ``pack`` writes."""
    pairs: bool = False
    """Whether an element of the operands is two integers of 16 bits, whose two products are added."""
    ahead: int = 0
    """How far ahead of its use the right operand is fetched; 0 for one panel."""


def product_kernel(family: str, product: Product, tiling: Tiling, target: Target) -> Kernel:
    """The product as a kernel; its units are image x row block x panel."""
    return _Emitter(family, product, tiling, target).kernel()


class _Emitter:
    def __init__(self, family: str, product: Product, tiling: Tiling, target: Target) -> None:
        self.family = family
        self.product = product
        self.tiling = tiling
        self.target = target
        *images, blocks, self.height, self.width, lanes = product.result.shape
        self.images = tuple(images)
        self.type = product.sums.vector(lanes)
        group_blocks = product.group_blocks or blocks
        self.kinds = list(panels_of(group_blocks, tiling.vectors, product.tail, lanes))
        self.group_blocks = group_blocks
        self.per_group = sum(kind.count for kind in self.kinds)
        self.panels = blocks // group_blocks * self.per_group
        self.row_blocks = -(-self.height // tiling.row_block)
        self.packed_bytes = -(-product.packed_bytes // 64) * 64

    def kernel(self) -> Kernel:
        operands = 3 + len(self.product.epilogue.views)
        units = math.prod(self.images) * self.row_blocks * self.panels
        scratch = self.packed_bytes + max(sums_bytes(self._plan(kind), self.tiling) for kind in self.kinds)
        return define_kernel(self.family, self.target, operands, units, scratch, self._unit)

    def _plan(self, kind: Panels) -> Sweep:
        product = self.product
        packed = product.widens or product.pack is not None
        return Sweep(
            type=self.type,
            vectors=kind.vectors,
            nests=tuple(nest.widened(kind.vectors if product.widens else 1) for nest in product.nests),
            row=product.left_row,
            column=product.left_column,
            width=self.width,
            tail=kind.tail,
            following=product.ahead or kind.vectors * product.right_block,
            packed=packed,
            pairs=product.pairs,
        )

    def _unit(self, b: Builder, call: Call) -> None:
        """Panels pass over a block of rows one after another; a panel that is packed serves all blocks of rows."""
        if self.product.pack is None:
            panel, rest = b.rem(call.unit, self.panels), b.div(call.unit, self.panels)
            row_block, rest = b.rem(rest, self.row_blocks), b.div(rest, self.row_blocks)
        else:
            row_block, rest = b.rem(call.unit, self.row_blocks), b.div(call.unit, self.row_blocks)
            panel, rest = b.rem(rest, self.panels), b.div(rest, self.panels)
        image: list[Index] = []
        for extent in reversed(self.images):
            image.insert(0, b.rem(rest, extent))
            rest = b.div(rest, extent)
        group, within = b.div(panel, self.per_group), b.rem(panel, self.per_group)

        def panel_of(kind: Panels, number: Index) -> None:
            block = b.add(b.mul(group, self.group_blocks), b.add(kind.block, b.mul(number, kind.vectors)))
            self._panel(b, call, kind, image, block, row_block)

        choose_panel(b, self.kinds, within, panel_of)

    def _panel(self, b: Builder, call: Call, kind: Panels, image: list[Index], block: Index, row_block: Index) -> None:
        product, element = self.product, self.type.scalar
        result, left, right, *extra = call.operands
        output = Output(b, product.result, result, product.epilogue, extra, self.type.lanes)
        inputs, weights = b.add(product.left_offset, product.panel_left(b, block)), b.mul(block, product.right_block)
        for position, left_step, right_step in zip(image, product.left_image, product.right_image, strict=True):
            inputs = b.add(inputs, b.mul(position, left_step))
            weights = b.add(weights, b.mul(position, right_step))
        left, right = b.gep(left, inputs, element), b.gep(right, weights, element)
        if product.pack is not None:
            self._pack(b, call, kind, right, row_block)
            right = call.scratch
        sums = b.gep(call.scratch, self.packed_bytes // element.element_bytes, element)
        first = b.mul(row_block, self.tiling.row_block)
        plan = self._plan(kind)
        if product.panel_depth is not None:
            plan = plan.cut(product.panel_depth(b, block, kind.vectors))

        def rows(count: Index) -> None:
            def tile_at(y: Index, x: Index) -> Tile:
                return output.tile((*image, block, b.add(first, y), x, 0))

            top = b.gep(left, b.mul(first, product.left_row), element)
            sweep(b, plan, self.tiling, top, right, count, tile_at, sums)

        self._rows(b, row_block, rows)

    def _pack(self, b: Builder, call: Call, kind: Panels, right: Ssa, row_block: Index) -> None:
        pack = self.product.pack
        assert pack is not None
        fresh = b.op("or", call.first, b.compare("eq", index(row_block), index(0)))
        b.branch(fresh, lambda: pack(b, right, kind, call.scratch))

    def _rows(self, b: Builder, row_block: Index, body: Callable[[Index], None]) -> None:
        """Runs ``body`` with the number of rows of a block; the last one may have fewer."""
        regular, last = min(self.tiling.row_block, self.height), self.height % self.tiling.row_block
        if last == 0 or self.row_blocks == 1:
            body(regular)
        elif 2 * self.width > self.tiling.rows:
            body(b.smaller(regular, b.sub(self.height, b.mul(row_block, regular))))
        else:
            whole = b.less(row_block, self.row_blocks - 1)
            b.branch(whole, lambda: body(regular), lambda: body(last))
