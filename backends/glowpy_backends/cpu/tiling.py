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

    Two registers stay free: with one, LLVM spills.
    """
    return max(1, (target.registers - 2 - vectors) // vectors)


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
    """Vectors of output channels that a panel may be cut from."""
    depth: int
    """Blocks of the reduced dimension."""
    taps: int
    """Steps of the kernel window: 9 for 3x3."""
    right_bytes: int


def choose(problem: Problem, target: Target) -> Tiling:
    """The tiling that measurements of many shapes suggest.

    Wide images keep a few rows in the second-level cache while panels pass over them. On small images the weights
    outweigh the pixels: there a panel goes through in pieces that stay near while all pixels use them, and each
    piece fetches the next one.
    """
    preferred = 4 if target.registers >= 32 else 2
    vectors = min(preferred, problem.blocks)
    if problem.blocks < preferred:
        vectors = min(2, problem.blocks)
    rows = tile_rows(target, vectors)
    if problem.width >= 24:
        return Tiling(rows, vectors, min(problem.height, 4), prefetch_right=problem.right_bytes > 300_000)
    if problem.width >= 10:
        deep = problem.depth >= (32 if problem.blocks >= preferred else 16)
        k_block = (8 if problem.blocks >= preferred else 4) if deep else 0
        return Tiling(rows, vectors, problem.height, k_block, prefetch_right=True)
    if problem.blocks < 3:
        k_block = 2 if problem.depth >= 8 else 0
        return Tiling(rows, vectors, problem.height, k_block, prefetch_right=True)
    vectors = 3 if target.registers >= 32 else 2
    rows = min(problem.width, tile_rows(target, vectors)) if problem.width > 3 else tile_rows(target, vectors)
    return Tiling(rows, vectors, problem.height, 1 if problem.taps > 1 else 2, prefetch_right=True)
