"""Attention: scores of rows against rows, softmax and the weighted sum, for a few rows at a time.

The scores of a block of rows stay in the second-level cache between the two products. Keys and values are packed once
for all blocks of rows that a thread does one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate

from glowpy_backends.cpu.builder import Builder, Index, Ssa, index
from glowpy_backends.cpu.epilogue import Epilogue, Output, Tile
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.matmul import MatMul, Packer, blocked, nests_of
from glowpy_backends.cpu.kernels.rows import Plan, Row
from glowpy_backends.cpu.kernels.softmax import softmax_of_row
from glowpy_backends.cpu.panels import Panels, panels_of
from glowpy_backends.cpu.sweep import Sweep, sums_bytes, sweep
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Problem, Tiling, choose
from glowpy_backends.cpu.view import View
from glowpy_ir.types import Kind

_SCORES = 128 << 10
"""Bytes of the scores of a block of rows, at most if a block has more than the fewest rows."""
_FEWEST, _MOST = 16, 96
"""Rows of a block."""


@dataclass(frozen=True)
class Attention:
    """``result = weights(softmax(scores(query @ key))) @ value``

    The views are of f32 and have the same leading dimensions, some with stride 0: ``query […, M, D]``, ``key
    […, D, N]``, ``value […, N, V]``, ``result […, M, V]``. Any strides will do. ``scores`` applies to the ``[…, M, N]``
    before the softmax; ``weights``, which has no operands, to what comes of it.
    """

    result: View
    query: View
    key: View
    value: View
    scores: Epilogue
    weights: Epilogue


def attention(spec: Attention, target: Target) -> Kernel:
    """The kernel; its operands are the result, query, key, those of the scores' epilogue, and the value."""
    return _Emitter(spec, target).kernel()


class _Emitter:
    def __init__(self, spec: Attention, target: Target) -> None:
        self.spec = spec
        self.lanes = lanes = target.lanes(4)
        self.target = target
        *images, self.height, self.length = *spec.result.shape[:-1], spec.value.shape[-2]
        self.images = tuple(images)
        self.row = -(-self.length // lanes) * lanes
        self.block = _rows_of_block(self.height, self.row)
        self.blocks = -(-self.height // self.block)
        none = (0,) * len(images)
        scores = View(Kind.F32, (*images, self.height, self.length), (*none, self.row, 1))
        some = View(Kind.F32, (self.block, self.length), (self.row, 1))
        self.plan = Plan.of((1,), some, some, spec.weights)
        depth = spec.query.shape[-1]
        self.depth = -(-depth // lanes) * lanes
        self.turns = spec.query.strides[-1] != 1
        turned = View(Kind.F32, spec.query.shape, (*none, self.depth, 1))
        query = turned if self.turns else spec.query
        self.products = (
            _Product(MatMul(scores, query, spec.key, epilogue=spec.scores), target, self.block),
            _Product(MatMul(spec.result, scores, spec.value), target, self.block),
        )
        sizes = [self.block * self.row, self.block * self.depth if self.turns else 0]
        sizes += [*(product.packed for product in self.products), max(product.waiting for product in self.products)]
        self.places = list(accumulate(sizes, initial=0))

    def kernel(self) -> Kernel:
        operands = 4 + len(self.spec.scores.views)
        units = math.prod(self.images) * self.blocks
        return define_kernel("attention", self.target, operands, units, 4 * self.places[-1], self._unit)

    def _unit(self, b: Builder, call: Call) -> None:
        """Blocks of rows of one image follow each other, and images that share keys and values."""
        block, rest = b.rem(call.unit, self.blocks), b.div(call.unit, self.blocks)
        image: list[Index] = []
        for extent in reversed(self.images):
            image.insert(0, b.rem(rest, extent))
            rest = b.div(rest, extent)
        result, query, key, *extra, value = call.operands
        element = self.spec.query.element
        scores, turned, *packed, waiting = (b.gep(call.scratch, place, element) for place in self.places[:-1])
        b.branch(self._is_fresh(b, call, image, block), lambda: self._pack(b, image, (key, value), packed))
        # The last block repeats rows of the one before instead of being shorter: the same bits, and half the code.
        first = b.smaller(b.mul(block, self.block), self.height - self.block)
        above = b.gep(scores, b.mul(first, -self.row), element)
        scoring, summing = self.products
        left = self._turn(b, query, image, first, turned) if self.turns else query
        scoring.emit(b, image, first, left, packed[0], above, extra, waiting)
        b.loop(0, self.block, 1, lambda y, _: self._softmax(b, scores, y))
        summing.emit(b, image, first, above, packed[1], result, [], waiting)

    def _is_fresh(self, b: Builder, call: Call, image: list[Index], block: Index) -> Ssa:
        """Whether the keys and values in the scratch are not those of this image."""
        begins: Ssa = b.compare("eq", index(block), index(0))
        strides = zip(self.images, self.spec.key.strides, self.spec.value.strides, image, strict=False)
        for extent, of_key, of_value, position in reversed(list(strides)):
            if extent > 1 and (of_key or of_value):
                break
            begins = b.op("and", begins, b.compare("eq", index(position), index(0)))
        return b.op("or", call.first, begins)

    def _pack(self, b: Builder, image: list[Index], sources: tuple[Ssa, Ssa], packed: list[Ssa]) -> None:
        for product, source, target in zip(self.products, sources, packed, strict=True):
            product.pack(b, image, source, target)

    def _turn(self, b: Builder, query: Ssa, image: list[Index], first: Index, turned: Ssa) -> Ssa:
        """Rows of the query whose elements are far apart, copied: the pointer from which they are counted."""
        view, lanes = self.spec.query, self.lanes
        source = b.gep(query, b.add(_offset(b, image, view), b.mul(first, view.strides[-2])), view.element)
        rows = View(Kind.F32, (self.block, view.shape[-1]), view.strides[-2:])
        vectors = self.depth // lanes
        panel = Panels(vectors, 0, 1, rows.shape[1] - (vectors - 1) * lanes)
        Packer(rows, lanes).pack(b, source, panel, turned)
        return b.gep(turned, b.mul(first, -self.depth), view.element)

    def _softmax(self, b: Builder, scores: Ssa, y: Index) -> None:
        type = self.spec.query.element.vector(self.lanes)
        output = Output(b, self.plan.result, scores, self.plan.epilogue, [], self.lanes)
        here = b.gep(scores, b.mul(y, self.row), type.scalar)
        softmax_of_row(b, Row(b, self.plan, type, [y, 0], self.lanes, scores, output, here))


class _Product:
    """One of the two products: how it is cut, and its code. Sizes are in elements."""

    def __init__(self, spec: MatMul, target: Target, block: int) -> None:
        self.spec = spec
        self.lanes = lanes = target.lanes(4)
        self.type = spec.left.element.vector(lanes)
        self.tail = spec.columns - (-(-spec.columns // lanes) - 1) * lanes
        blocks = -(-spec.columns // lanes)
        problem = Problem(height=block, width=1, blocks=blocks, depth=-(-spec.depth // lanes), round_steps=lanes)
        self.tiling: Tiling = replace(
            choose(problem, target), row_block=block, prefetch_right=False, prefetch_left=False
        )
        self.kinds = list(panels_of(blocks, self.tiling.vectors, self.tail, lanes))
        self.packed = blocks * lanes * spec.depth
        self.waiting = max(sums_bytes(self._plan(kind.vectors, kind.tail), self.tiling) for kind in self.kinds) // 4
        operands = tuple(blocked(view, lanes) for view in spec.epilogue.operands)
        self.epilogue = replace(spec.epilogue, operands=operands)

    def _plan(self, vectors: int, tail: int) -> Sweep:
        nests = nests_of(self.spec, self.lanes, self.lanes)
        return Sweep(
            type=self.type,
            vectors=vectors,
            nests=tuple(nest.widened(vectors) for nest in nests),
            row=self.spec.left.strides[-2],
            column=0,
            width=1,
            tail=tail,
            following=0,
        )

    def pack(self, b: Builder, image: list[Index], source: Ssa, target: Ssa) -> None:
        """All panels of the right operand, one after the other."""
        element, right = self.type.scalar, self.spec.right
        packer = Packer(right, self.lanes)
        origin = b.gep(source, _offset(b, image, right), element)
        for kind in self.kinds:

            def panel(number: Index, _: list[Ssa], kind: Panels = kind) -> None:
                first = b.mul(b.add(kind.block, b.mul(number, kind.vectors)), self.lanes)
                place = b.gep(target, b.mul(first, self.spec.depth), element)
                packer.pack(b, b.gep(origin, b.mul(first, right.strides[-1]), element), kind, place)

            b.loop(0, kind.count, 1, panel)

    def emit(
        self,
        b: Builder,
        image: list[Index],
        first: Index,
        left: Ssa,
        right: Ssa,
        result: Ssa,
        extra: list[Ssa],
        waiting: Ssa,
    ) -> None:
        """A block of rows from ``first`` on, panel after panel."""
        spec, element = self.spec, self.type.scalar
        output = Output(b, blocked(spec.result, self.lanes), result, self.epilogue, extra, self.lanes)
        top = b.gep(left, b.add(_offset(b, image, spec.left), b.mul(first, spec.left.strides[-2])), element)
        for kind in self.kinds:

            def panel(number: Index, _: list[Ssa], kind: Panels = kind) -> None:
                block = b.add(kind.block, b.mul(number, kind.vectors))
                weights = b.gep(right, b.mul(block, self.lanes * spec.depth), element)

                def tile_at(y: Index, x: Index) -> Tile:
                    return output.tile((*image, block, b.add(first, y), x, 0))

                plan = self._plan(kind.vectors, kind.tail)
                sweep(b, plan, self.tiling, top, weights, self.tiling.row_block, tile_at, waiting)

            b.loop(0, kind.count, 1, panel)


def _offset(b: Builder, image: list[Index], view: View) -> Index:
    offset: Index = 0
    for position, stride in zip(image, view.strides, strict=False):
        offset = b.add(offset, b.mul(position, stride))
    return offset


def _rows_of_block(height: int, row: int) -> int:
    """So that all blocks have about as many."""
    limit = min(_MOST, max(_FEWEST, _SCORES // (4 * row)))
    return -(-height // -(-height // limit))
