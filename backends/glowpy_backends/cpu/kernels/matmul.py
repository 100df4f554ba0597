"""Matrix multiplication, batched or not, with a constant or a computed right operand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glowpy_backends.cpu.builder import Builder, Index, Ssa, zero
from glowpy_backends.cpu.epilogue import Epilogue, load_vector
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.microkernel import Reduction
from glowpy_backends.cpu.panels import Panels, Product, panels_of, product_kernel
from glowpy_backends.cpu.sweep import Nest
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Problem, Tiling, choose
from glowpy_backends.cpu.transpose import transpose
from glowpy_backends.cpu.view import View

_STREAMS = 4
"""Places that a matrix is read at in turn: a processor's prefetchers follow several streams better than one."""
_STREAMED_ROWS = 4
"""Up to so many rows the right operand's way from memory takes longer than the arithmetic."""
_FEW_ROWS = 64
"""Up to so many rows a wider panel, which comes from memory in longer pieces, is worth a lower register tile, and
packing costs more than it saves."""
_SHORT_DEPTH = 96
"""Up to so long a sum a wider panel fits the first-level cache, and passes over the left operand less often."""


@dataclass(frozen=True)
class MatMul:
    """``result[…, M, N] = left[…, M, K] @ right[…, K, N]``

    All views have the same number of dimensions; the leading ones are broadcast to those of the result, with stride
    0. Any strides will do. A ``constant`` right operand comes packed (see :func:`pack_weights`): of its strides only
    those that are 0 matter. The sums have the kind of the operands; the epilogue may make a result of another.

    With ``pairs`` an element of the operands is an i32 that holds two integers of 16 bits, whose products are added.
    """

    result: View
    left: View
    right: View
    constant: bool = False
    epilogue: Epilogue = field(default_factory=Epilogue)
    pairs: bool = False

    @property
    def batch(self) -> tuple[int, ...]:
        return self.result.shape[:-2]

    @property
    def rows(self) -> int:
        return self.result.shape[-2]

    @property
    def columns(self) -> int:
        return self.result.shape[-1]

    @property
    def depth(self) -> int:
        """The extent of the dimension that is summed over."""
        return self.left.shape[-1]


def merge_batch(spec: MatMul) -> MatMul:
    """The same product with dimensions of the batch that share one right operand turned into rows, as far as strides
    allow: few large products are faster than many small ones."""
    views = (spec.result, spec.left, *spec.epilogue.views)
    while spec.batch and (spec.batch[-1] == 1 or spec.right.strides[-3] == 0):
        if spec.batch[-1] > 1 and any(v.strides[-3] != v.shape[-2] * v.strides[-2] for v in views):
            return spec
        result, left, *extra = map(_merge, views)
        start = extra.pop(0) if spec.epilogue.start is not None else None
        epilogue = replace(spec.epilogue, operands=tuple(extra), start=start)
        right = View(
            spec.right.kind,
            (*spec.right.shape[:-3], *spec.right.shape[-2:]),
            (*spec.right.strides[:-3], *spec.right.strides[-2:]),
        )
        spec = replace(spec, result=result, left=left, right=right, epilogue=epilogue)
        views = (result, left, *epilogue.views)
    return spec


def _merge(view: View) -> View:
    *outer, batch, rows, columns = view.shape
    strides = (*view.strides[:-3], *view.strides[-2:])
    return View(view.kind, (*outer, batch * rows, columns), strides)


def tiling_of(spec: MatMul, target: Target) -> Tiling:
    """The tiling that the shape and the target suggest."""
    lanes = target.lanes(spec.left.kind.nbytes)
    blocks = -(-spec.columns // lanes)
    if _streams(spec):
        return Tiling(spec.rows, min(4 if target.registers >= 32 else 2, blocks), spec.rows, unroll=_STREAMS)
    problem = Problem(
        height=spec.rows,
        width=1,
        blocks=blocks,
        depth=-(-spec.depth // lanes),
        round_steps=lanes,
        wide=spec.rows <= _FEW_ROWS or spec.depth <= _SHORT_DEPTH,
    )
    tiling = choose(problem, target)
    return replace(tiling, prefetch_right=spec.constant, prefetch_left=spec.rows > _FEW_ROWS)


def _streams(spec: MatMul) -> bool:
    """Whether the product is as fast as its right operand comes from memory: then that is read in several places."""
    return spec.constant and spec.rows <= _STREAMED_ROWS and spec.depth >= _STREAMS


def pack_weights(right: NDArray[Any], spec: MatMul, tiling: Tiling, target: Target) -> NDArray[Any]:
    """``right[…, K, N]`` as ``[…, panel][K][vectors * lanes]``, flat, with zeros for columns that do not exist.

    Dimensions of the batch that ``spec`` broadcasts have extent 1 in ``right`` (or are missing).
    """
    lanes = target.lanes(spec.left.kind.nbytes)
    depth, columns = right.shape[-2:]
    blocks = -(-columns // lanes)
    matrices = right.reshape(-1, depth, columns)
    packed = np.zeros((len(matrices), depth * blocks * lanes), right.dtype)
    for matrix, flat in zip(matrices, packed, strict=True):
        for kind in panels_of(blocks, tiling.vectors, columns - (blocks - 1) * lanes, lanes):
            for number in range(kind.count):
                first, width = (kind.block + number * kind.vectors) * lanes, kind.vectors * lanes
                panel = flat[first * depth : (first + width) * depth].reshape(depth, width)
                panel[:, : columns - first] = matrix[:, first : first + width]
    return packed.reshape(-1)


def matmul(spec: MatMul, tiling: Tiling, target: Target) -> Kernel:
    """The kernel; its operands are the result, left, right (packed if constant), and those of the epilogue.

    For few rows, a right operand whose own rows are contiguous is read in place; any other is packed, panel by panel.
    """
    lanes = target.lanes(spec.left.kind.nbytes)
    blocks = -(-spec.columns // lanes)
    packer = Packer(spec.right, lanes)
    in_place = not spec.constant and spec.right.strides[-1] == 1 and spec.rows <= _FEW_ROWS
    if spec.constant:
        right_image = _packed_strides(spec, blocks * lanes * spec.depth)
        right_block = spec.depth * lanes
    else:
        right_image = spec.right.strides[:-2]
        right_block = lanes * spec.right.strides[-1]
    if _streams(spec):
        tiling = replace(tiling, k_block=0, prefetch_right=False, prefetch_left=False)
    epilogue = replace(
        spec.epilogue,
        operands=tuple(blocked(view, lanes) for view in spec.epilogue.operands),
        start=None if spec.epilogue.start is None else blocked(spec.epilogue.start, lanes),
    )
    product = Product(
        result=blocked(spec.result, lanes),
        sums=spec.left.element,
        epilogue=epilogue,
        nests=nests_of(spec, lanes, spec.right.strides[-2] if in_place else lanes),
        left_image=spec.left.strides[:-2],
        left_row=spec.left.strides[-2],
        left_column=0,
        left_offset=0,
        right_image=right_image,
        right_block=right_block,
        tail=spec.columns - (blocks - 1) * lanes,
        widens=not in_place,
        pack=None if spec.constant or in_place else packer.pack,
        packed_bytes=0 if spec.constant or in_place else packer.nbytes(tiling.vectors),
        pairs=spec.pairs,
    )
    return product_kernel("matmul", product, tiling, target)


def blocked(view: View, lanes: int) -> View:
    """A matrix as an image: ``[…, column block, row, 1, column in block]``."""
    *batch, rows, columns = view.shape
    *outer, per_row, per_column = view.strides
    return View(
        view.kind,
        (*batch, -(-columns // lanes), rows, 1, lanes),
        (*outer, lanes * per_column, per_row, 0, per_column),
    )


def nests_of(spec: MatMul, lanes: int, step: int) -> tuple[Nest, ...]:
    """The reduced dimension in blocks, so that it can be cut, and what remains; ``step`` moves the right operand."""
    along = spec.left.strides[-1]
    if _streams(spec):
        part, rest = divmod(spec.depth, _STREAMS)
        walk = (Reduction(part, along, step), Reduction(_STREAMS, part * along, part * step))
        done = spec.depth - rest
        last = Nest(done * along, done * step, (Reduction(1, 0, 0), Reduction(rest, along, step)))
        return (Nest(0, 0, walk), last) if rest else (Nest(0, 0, walk),)
    whole, rest = divmod(spec.depth, lanes)

    def nest(blocks: int, deep: int, first: int) -> Nest:
        walk = (Reduction(blocks, lanes * along, lanes * step), Reduction(deep, along, step))
        return Nest(first * lanes * along, first * lanes * step, walk)

    nests = [nest(whole, lanes, 0)] if whole else []
    return tuple([*nests, nest(1, rest, whole)] if rest else nests)


def _packed_strides(spec: MatMul, matrix: int) -> tuple[int, ...]:
    """From one packed matrix of the batch to the next, by dimension."""
    strides: list[int] = []
    for extent, stride in zip(reversed(spec.batch), reversed(spec.right.strides[:-2]), strict=True):
        strides.insert(0, matrix if stride else 0)
        matrix *= extent if stride else 1
    return tuple(strides)


@dataclass(frozen=True)
class Packer:
    """Interleaves the vectors of one panel of a right operand ``[…, K, N]`` at run time."""

    right: View
    lanes: int

    def nbytes(self, vectors: int) -> int:
        blocks = min(vectors, -(-self.right.shape[-1] // self.lanes))
        return self.right.shape[-2] * blocks * self.lanes * self.right.kind.nbytes

    def pack(self, b: Builder, source: Ssa, kind: Panels, panel: Ssa) -> None:
        """Writes ``[K][vectors * lanes]`` to ``panel``."""
        per_column = self.right.strides[-1]
        full = kind.vectors if kind.tail == self.lanes else kind.vectors - 1

        def vector(j: Index, columns: int) -> None:
            element = self.right.element
            first = b.gep(source, b.mul(j, self.lanes * per_column), element)
            target = b.gep(panel, b.mul(j, self.lanes), element)
            step = kind.vectors * self.lanes
            if self.right.strides[-2] == 1:
                self._transpose(b, first, target, columns, step)
            else:
                self._gather(b, first, target, columns, step)

        b.loop(0, full, 1, lambda j, _: vector(j, self.lanes))
        if full < kind.vectors:
            vector(full, kind.tail)

    def _transpose(self, b: Builder, source: Ssa, target: Ssa, columns: int, step: int) -> None:
        """Columns are contiguous: squares of them are loaded and transposed in registers."""
        element = self.right.element
        type = element.vector(self.lanes)
        per_column = self.right.strides[-1]
        whole = self.right.shape[-2] - self.right.shape[-2] % self.lanes

        def square(k: Index, count: int) -> None:
            corner = b.gep(source, k, element)
            lines = [
                b.load_first(b.gep(corner, n * per_column, element), count, type) if n < columns else zero(type)
                for n in range(self.lanes)
            ]
            place = b.gep(target, b.mul(k, step), element)
            for i, line in enumerate(transpose(b, lines)[:count]):
                b.store(line, b.gep(place, i * step, element))

        b.loop(0, whole, self.lanes, lambda k, _: square(k, self.lanes))
        if whole < self.right.shape[-2]:
            square(whole, self.right.shape[-2] - whole)

    def _gather(self, b: Builder, source: Ssa, target: Ssa, columns: int, step: int) -> None:
        """Rows are contiguous, or nothing is."""
        right = self.right

        def line(k: Index, _: list[Ssa]) -> None:
            place = b.gep(source, b.mul(k, right.strides[-2]), right.element)
            value = load_vector(b, right, place, self.lanes, columns)
            b.store(value, b.gep(target, b.mul(k, step), right.element))

        b.loop(0, self.right.shape[-2], 1, line)
