"""One panel of weights swept over a block of output pixels, register tile by register tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type
from glowpy_backends.cpu.epilogue import Tile
from glowpy_backends.cpu.microkernel import Reduction, RegisterTile, Stream, accumulate
from glowpy_backends.cpu.tiling import Tiling, split

CACHE_LINE = 64


@dataclass(frozen=True)
class Nest:
    """Reductions that begin at an offset (in elements) from the operands' positions, the innermost last."""

    left: int
    right: int
    reductions: tuple[Reduction, ...]

    def widened(self, vectors: int) -> Nest:
        """The same walk where each step of the right operand is ``vectors`` times as long."""
        wider = tuple(replace(r, right=r.right * vectors) for r in self.reductions)
        return Nest(self.left, self.right * vectors, wider)


@dataclass(frozen=True)
class Sweep:
    """One panel of a product over a block of pixels.

    ``nests`` run one after another into the same sums. ``row`` and ``column`` say how far the left operand moves
    from one output pixel to the next. ``tail`` lanes of the panel's last vector exist, and only those are in memory
    if the panel is not ``packed``.
    """

    type: Type
    vectors: int
    nests: tuple[Nest, ...]
    row: int
    column: int
    width: int
    tail: int
    following: int
    """Elements from this panel to what is needed after it."""
    packed: bool = True
    pairs: bool = False
    """Whether an element of the operands is two integers of 16 bits."""

    def cut(self, depth: Index) -> Sweep:
        """The same sweep with ``depth`` rounds of the outermost reduction, in one pass."""
        first, *others = self.nests
        outermost, *inner = first.reductions
        return replace(self, nests=(replace(first, reductions=(replace(outermost, extent=depth), *inner)), *others))

    def counts(self) -> list[int]:
        """How many lanes of each vector exist."""
        return [self.type.lanes] * (self.vectors - 1) + [self.tail]


@dataclass(frozen=True)
class _Segment:
    """A grid of equal tiles; ``pixels`` are the (row, column) of a tile's pixels from its first one."""

    row: int
    down: Index
    row_step: int
    column: int
    across: int
    column_step: int
    pixels: tuple[tuple[int, int], ...]


def _segments(height: Index, width: int, limit: int) -> Iterator[_Segment]:
    """Covers ``height x width`` pixels with tiles of at most ``limit``, without masks."""
    if not isinstance(height, int) or height == 1 or 2 * width > limit:
        column = 0
        for size, count in split(width, limit):
            yield _Segment(0, height, 1, column, count, size, tuple((0, x) for x in range(size)))
            column += size * count
        return
    row = 0
    for size, count in split(height, limit // width):
        pixels = tuple((y, x) for y in range(size) for x in range(width))
        yield _Segment(row, count, size, 0, 1, width, pixels)
        row += size * count


def sweep(
    b: Builder,
    plan: Sweep,
    tiling: Tiling,
    left: Ssa,
    right: Ssa,
    height: Index,
    tile_at: Callable[[Index, Index], Tile],
    scratch: Ssa,
) -> None:
    """Computes ``height`` rows of ``plan.width`` pixels of one panel.

    ``left`` and ``right`` point at the operands of the first pixel; ``tile_at`` gives where the results of the pixel
    at (row, column) go. With a ``k_block`` the sums wait in ``scratch``, ``sums_bytes`` of it, between passes.
    """
    nominal = height if isinstance(height, int) else tiling.row_block
    segments = list(_segments(height, plan.width, tiling.rows))
    slots = sum((s.down if isinstance(s.down, int) else nominal) * s.across for s in segments)

    def tiles(body: Callable[[_TileSite], None]) -> None:
        base = 0
        for segment in segments:
            _each_tile(b, plan, segment, left, scratch, base, tile_at, body)
            base += (segment.down if isinstance(segment.down, int) else nominal) * segment.across

    first, *others = plan.nests
    outermost = first.reductions[0]
    depth = outermost.extent

    def run(
        site: _TileSite, sums: list[Ssa], nests: Sequence[Nest], weights: Ssa, inputs: Index, ahead: int
    ) -> list[Ssa]:
        for nest in nests:
            streams = _streams(b, plan, tiling, nest, site, slots, ahead)
            origin = b.gep(site.left, b.add(inputs, nest.left), plan.type.scalar)
            panel = b.gep(weights, nest.right, plan.type.scalar)
            sums = accumulate(b, site.tile, origin, panel, sums, nest.reductions, tiling.unroll, streams)
        return sums

    if not isinstance(depth, int) or not 0 < tiling.k_block < depth:
        tiles(lambda site: site.finish(run(site, site.start(), plan.nests, right, 0, plan.following)))
        return

    tiles(lambda site: site.save(site.start()))

    def chunk(c: Index, _: list[Ssa]) -> None:
        done = b.mul(c, tiling.k_block)
        extent: Index = tiling.k_block
        if depth % tiling.k_block:
            extent = b.smaller(extent, b.sub(depth, done))
        part = replace(first, reductions=(replace(outermost, extent=extent), *first.reductions[1:]))
        weights = b.gep(right, b.mul(done, outermost.right), plan.type.scalar)
        inputs = b.mul(done, outermost.left)
        ahead = tiling.k_block * outermost.right
        tiles(lambda site: site.save(run(site, site.saved(), [part], weights, inputs, ahead)))

    b.loop(0, -(-depth // tiling.k_block), 1, chunk)
    tiles(lambda site: site.finish(run(site, site.saved(), others, right, 0, plan.following)))


def sums_bytes(plan: Sweep, tiling: Tiling) -> int:
    """The scratch that :func:`sweep` needs."""
    extent = plan.nests[0].reductions[0].extent
    if not (isinstance(extent, int) and 0 < tiling.k_block < extent):
        return 0
    return tiling.row_block * plan.width * plan.vectors * plan.type.lanes * plan.type.element_bytes


@dataclass(frozen=True)
class _TileSite:
    """One register tile at its place: where it reads, where its sums wait, where its results go."""

    builder: Builder
    plan: Sweep
    tile: RegisterTile
    pixels: tuple[tuple[int, int], ...]
    left: Ssa
    scratch: Ssa
    results: Tile
    slot: Index

    def _each(self) -> Iterator[tuple[int, tuple[int, int, int, int], int, int]]:
        """For each accumulator its number, its distance from the tile's origin, its lanes, and its scratch."""
        counts = self.plan.counts()
        for i, (y, x) in enumerate(self.pixels):
            for j in range(self.plan.vectors):
                place = ((y * self.plan.width + x) * self.plan.vectors + j) * self.plan.type.lanes
                yield i * self.plan.vectors + j, (j, y, x, 0), counts[j], place

    def start(self) -> list[Ssa]:
        return [self.results.start(delta, count, self.plan.type) for _, delta, count, _ in self._each()]

    def finish(self, sums: list[Ssa]) -> None:
        for number, delta, count, _ in self._each():
            self.results.finish(sums[number], delta, count)

    def saved(self) -> list[Ssa]:
        b, type = self.builder, self.plan.type
        return [b.load(b.gep(self.scratch, place, type.scalar), type) for _, _, _, place in self._each()]

    def save(self, sums: list[Ssa]) -> None:
        b, type = self.builder, self.plan.type
        for number, _, _, place in self._each():
            b.store(sums[number], b.gep(self.scratch, place, type.scalar))


def _each_tile(
    b: Builder,
    plan: Sweep,
    segment: _Segment,
    left: Ssa,
    scratch: Ssa,
    base: int,
    tile_at: Callable[[Index, Index], Tile],
    body: Callable[[_TileSite], None],
) -> None:
    element = plan.type.scalar
    rows = tuple(y * plan.row + x * plan.column for y, x in segment.pixels)
    lanes = plan.type.lanes if plan.packed else plan.tail
    tile = RegisterTile(plan.type, rows, plan.vectors, lanes, plan.pairs)

    def down(i: Index, _: list[Ssa]) -> None:
        y = b.add(b.mul(i, segment.row_step), segment.row)

        def across(j: Index, _: list[Ssa]) -> None:
            x = b.add(b.mul(j, segment.column_step), segment.column)
            origin = b.gep(left, b.add(b.mul(y, plan.row), b.mul(x, plan.column)), element)
            pixel = b.add(b.mul(y, plan.width), x)
            waiting = b.gep(scratch, b.mul(pixel, plan.vectors * plan.type.lanes), element)
            slot = b.add(b.add(b.mul(i, segment.across), j), base)
            body(_TileSite(b, plan, tile, segment.pixels, origin, waiting, tile_at(y, x), slot))

        b.loop(0, segment.across, 1, across)

    b.loop(0, segment.down, 1, down)


def _streams(
    b: Builder, plan: Sweep, tiling: Tiling, nest: Nest, site: _TileSite, slots: int, ahead: int
) -> list[Stream]:
    """Each tile asks for its share of what comes after this panel, and of its own next inputs."""
    innermost = nest.reductions[-1]
    assert isinstance(innermost.extent, int)
    rounds = innermost.extent // tiling.unroll
    streams: list[Stream] = []
    if tiling.prefetch_right and rounds:
        line = CACHE_LINE // plan.type.element_bytes
        lines = -(-tiling.unroll * innermost.right // line)
        share = -(-lines // slots)
        offset = b.add(ahead, b.mul(site.slot, share * rounds * line))
        streams.append(Stream(False, offset, line, share, locality=2))
    once = all(reduction.extent == 1 for reduction in nest.reductions[1:-1])
    if tiling.prefetch_left and rounds and once and len(nest.reductions) > 1:
        rows = site.tile.rows
        spacing = rows[1] - rows[0] if len(rows) > 1 else 0
        streams.append(Stream(True, nest.reductions[0].left, spacing, -(-len(rows) // rounds), locality=3))
    return streams
