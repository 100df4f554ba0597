"""How a matrix product is cut: the register tile, the blocks around it, and what is fetched ahead."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_backends.cpu.target import Target


@dataclass(frozen=True, slots=True)
class Tiling:
    """Sizes of the blocks of one product, from the inside out."""

    rows: int
    """Pixels (matrix rows) of a register tile, at most."""
    vectors: int
    """Vectors of output channels (matrix columns) in a panel, at most."""
    row_block: int
    """Output rows that are finished for one panel before the next panel is begun."""
    k_block: int = 0
    """Rounds of the outermost reduction per pass over a row block; 0 for one pass."""
    unroll: int = 4
    """Steps of the innermost reduction in straight-line code."""
    prefetch_right: bool = False
    """Whether a panel's tiles fetch the next panel's weights into the second-level cache."""
    prefetch_left: bool = False
    """Whether a tile fetches its next block of the left operand into the first-level cache."""


def tile_rows(target: Target, vectors: int) -> int:
    """The most rows that keep all accumulators, the panel's vectors and a broadcast in registers.

    Two more registers stay free: LLVM loads ahead, and spills with fewer.
    """
    return max(1, (target.registers - 3 - vectors) // vectors)


def split(total: int, limit: int) -> list[tuple[int, int]]:
    """``total`` in the fewest parts of at most ``limit``, as equal as can be: (size, how many), larger first."""
    parts = -(-total // limit)
    size, larger = divmod(total, parts)
    return [(n, count) for n, count in ((size + 1, larger), (size, parts - larger)) if count]


@dataclass(frozen=True, slots=True)
class Problem:
    """What of a product decides how it is cut."""

    height: int
    width: int
    blocks: int
    """Vectors of output channels that panels are cut from."""
    depth: int
    """Rounds of the outermost reduction."""
    round_steps: int
    """Multiplications in one such round."""
    wide: bool = False
    """Whether a panel may be one vector wider than usual."""


_PIECE = 150
"""Steps of a piece of a panel that stays in the first-level cache (32 KiB) while all pixels use it."""
_FEW_PIXELS = 64
"""So few pixels leave a panel's next piece little time to arrive: there pieces are half as long."""
_LONG = 340
"""Sums of so many steps are worth being computed in pieces."""
_PIXELS = 256
"""Pixels that share a panel before the next one: enough to pay for its way from memory."""


def choose(problem: Problem, target: Target) -> Tiling:
    """The tiling that measurements of many shapes suggest.

    Three vectors (two with 16 registers) need the fewest loads for a multiplication that fit a panel's piece into
    the first-level cache. A long reduction is cut so that the piece stays there.
    """
    vectors = min((3 if target.registers >= 32 else 2) + problem.wide, problem.blocks)
    rows = min(tile_rows(target, vectors), 12)
    piece = _PIECE if problem.height * problem.width > _FEW_PIXELS else _PIECE // 2
    pieces = -(-problem.depth // max(1, piece // problem.round_steps))
    k_block = -(-problem.depth // pieces) if problem.round_steps * problem.depth > _LONG else 0
    row_block = _row_block(problem.height, max(1, _PIXELS // problem.width))
    return Tiling(rows, vectors, row_block, k_block, prefetch_right=True, prefetch_left=True)


def _row_block(height: int, limit: int) -> int:
    """At most ``limit`` rows, and if there is one a divisor of the height: then all blocks share their code."""
    if height <= limit:
        return height
    for size in range(limit, limit // 2, -1):
        if height % size == 0:
            return size
    return -(-height // -(-height // limit))
