"""Lanes of blocked images in another order: channel shuffles, and concatenations of blocks that are not full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from glowpy_backends.cpu.blocked import NO_CHANNEL, Rearrange
from glowpy_backends.cpu.builder import Builder, Index, Ssa, zero
from glowpy_backends.cpu.epilogue import Epilogue, Output, Tile
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View

_BLOCKS = 8
"""Blocks of results that are made together, at most; they often share what they are made of."""

_PIXELS = 2
"""Pixels side by side: they share the constants that say how lanes move."""

_UNIT = 4096
"""Elements that are worth a unit of their own."""


def rearrange(op: Rearrange, result: View, operands: Sequence[View], epilogue: Epilogue, target: Target) -> Kernel:
    """The kernel, for views ``[N, blocks, H, W, b]``; units are image x rows of pixels x group of blocks."""
    batch, blocks, height, width, lanes = result.shape
    groups = -(-blocks // _BLOCKS)
    together = -(-blocks // groups)
    rows = max(1, min(height, _UNIT // (width * together * lanes)))
    row_units = -(-height // rows)

    def unit(b: Builder, call: Call) -> None:
        pointer, *inputs = call.operands
        output = Output(b, result, pointer, epilogue, inputs[len(operands) :], lanes)
        group, rest = b.rem(call.unit, groups), b.div(call.unit, groups)
        first, number = b.mul(b.rem(rest, row_units), rows), b.div(rest, row_units)
        last = b.smaller(b.add(first, rows), height) if height % rows else b.add(first, rows)

        def group_of_blocks(start: int) -> None:
            def pixels(y: Index, x: Index, count: int) -> None:
                at = [
                    (view, b.gep(source, _offset(b, view, number, y, x), view.element))
                    for view, source in zip(operands, inputs, strict=False)
                ]
                tile = output.tile((number, start, y, x, 0))
                _Pixels(b, op, at, lanes).make(range(start, min(start + together, blocks)), count, tile)

            def row(y: Index, _: list[Ssa]) -> None:
                whole = width - width % _PIXELS
                b.loop(0, whole, _PIXELS, lambda x, _: pixels(y, x, _PIXELS))
                b.loop(whole, width, 1, lambda x, _: pixels(y, x, 1))

            b.loop(first, last, 1, row)

        _choose(b, group, range(0, blocks, together), group_of_blocks)

    units = batch * row_units * groups
    return define_kernel("rearrange", target, 1 + len(operands) + len(epilogue.views), units, 0, unit)


def _offset(b: Builder, view: View, number: Index, y: Index, x: Index) -> Index:
    """How far the first block of a pixel is from the view's first element."""
    per_image, _, per_row, per_column, _ = view.strides
    return b.add(b.add(b.mul(number, per_image), b.mul(y, per_row)), b.mul(x, per_column))


def _choose(b: Builder, number: Index, starts: Sequence[int], body: Callable[[int], None]) -> None:
    """The body for the start that has this number; each has code of its own."""
    first, *others = starts
    if not others:
        body(first)
        return
    b.branch(b.less(number, 1), lambda: body(first), lambda: _choose(b, b.sub(number, 1), others, body))


@dataclass(frozen=True)
class _Pixels:
    """A few neighbouring pixels, from the one that the operands' pointers point at."""

    b: Builder
    op: Rearrange
    operands: Sequence[tuple[View, Ssa]]
    lanes: int
    loaded: dict[tuple[int, int], Ssa] = field(default_factory=dict)

    def make(self, blocks: range, count: int, tile: Tile) -> None:
        """Some blocks of ``count`` pixels; the tile begins at the first block and pixel."""
        for block in blocks:
            sources = self.op.sources[block * self.lanes : (block + 1) * self.lanes]
            for pixel in range(count):
                tile.finish(self._merge(sources, pixel), (0, block - blocks.start, 0, pixel, 0), self.lanes)

    def _merge(self, sources: Sequence[int], pixel: int) -> Ssa:
        """One vector of the lanes ``sources``: from each vector what it has of them, by pairs."""
        found: dict[int, dict[int, int]] = {}
        for lane, source in enumerate(sources):
            block = NO_CHANNEL if source == NO_CHANNEL else source // self.lanes
            found.setdefault(block, {})[lane] = source % self.lanes
        parts = [(self._vector(block, pixel), picks) for block, picks in found.items()]
        if len(parts) == 1:
            parts.append(parts[0])
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            parts = [self._join(left, right) for left, right in pairs] + parts[len(parts) // 2 * 2 :]
        return parts[0][0]

    def _join(self, left: tuple[Ssa, dict[int, int]], right: tuple[Ssa, dict[int, int]]) -> tuple[Ssa, dict[int, int]]:
        """What two vectors have, where it belongs."""
        (x, from_x), (y, from_y) = left, right
        taken = {lane: self.lanes + pick for lane, pick in from_y.items()} | from_x
        picks = [taken.get(lane, lane) for lane in range(self.lanes)]
        value = x if picks == list(range(self.lanes)) else self.b.shuffle(x, y, picks)
        return value, {lane: lane for lane in taken}

    def _vector(self, block: int, pixel: int) -> Ssa:
        """A block of an operand, the blocks of all operands counted through."""
        view, pointer = self.operands[0]
        type = view.element.vector(self.lanes)
        if block == NO_CHANNEL:
            return zero(type)
        if (block, pixel) not in self.loaded:
            number = block
            for view, pointer in self.operands:
                if number < view.shape[1]:
                    place = self.b.gep(pointer, view.displacement((number, 0, pixel, 0)), view.element)
                    self.loaded[block, pixel] = self.b.load(place, type)
                    break
                number -= view.shape[1]
        return self.loaded[block, pixel]
