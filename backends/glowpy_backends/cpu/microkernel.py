"""The register tile that all matrix products are made of: rows of scalars times vectors of a packed panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type


@dataclass(frozen=True)
class RegisterTile:
    """``rows x vectors`` accumulators; ``rows`` holds each row's displacement in the left operand, in elements."""

    type: Type
    rows: tuple[int, ...]
    vectors: int


@dataclass(frozen=True)
class Reduction:
    """One loop over the reduced dimension: its extent, and how far a round moves in each operand, in elements."""

    extent: Index
    left: int
    right: int


@dataclass(frozen=True)
class Stream:
    """Cache lines that the innermost loop asks for ahead of their use, evenly spread over its rounds.

    They lie ``offset`` elements behind where the loop starts in its left (or right) operand, ``spacing`` apart.
    """

    left: bool
    offset: Index
    spacing: int
    per_round: int
    locality: int


def accumulate(
    b: Builder,
    tile: RegisterTile,
    left: Ssa,
    right: Ssa,
    sums: Sequence[Ssa],
    reductions: Sequence[Reduction],
    unroll: int,
    streams: Sequence[Stream] = (),
) -> list[Ssa]:
    """``sums[i, j] + Σ left[row i] * right[vector j]`` over a nest of reductions, the innermost last.

    ``left`` is read in place by scalars, each broadcast to a vector; ``right`` by vectors that lie side by side.
    The innermost extent is known and runs in rounds of ``unroll`` steps, then the rest in one go.
    """
    if len(reductions) > 1:
        outer, *inner = reductions

        def level(i: Index, carried: list[Ssa]) -> list[Ssa]:
            deeper_left = b.gep(left, b.mul(i, outer.left), tile.type.scalar)
            deeper_right = b.gep(right, b.mul(i, outer.right), tile.type.scalar)
            return accumulate(b, tile, deeper_left, deeper_right, carried, inner, unroll, streams)

        return b.loop(0, outer.extent, 1, level, sums)

    (inner_most,) = reductions
    extent = inner_most.extent
    if not isinstance(extent, int):
        raise TypeError("the innermost extent of a reduction is known when code is generated")
    whole = extent - extent % unroll

    def round(k: Index, carried: list[Ssa]) -> list[Ssa]:
        for stream in streams:
            _prefetch(b, stream, left if stream.left else right, k, unroll, tile.type)
        return _steps(b, tile, left, right, carried, inner_most, k, unroll)

    sums = b.loop(0, whole, unroll, round, sums)
    return _steps(b, tile, left, right, list(sums), inner_most, whole, extent - whole)


def _steps(
    b: Builder,
    tile: RegisterTile,
    left: Ssa,
    right: Ssa,
    sums: list[Ssa],
    reduction: Reduction,
    k: Index,
    count: int,
) -> list[Ssa]:
    """``count`` steps of the innermost reduction in straight-line code, from step ``k`` on."""
    element, lanes = tile.type.scalar, tile.type.lanes
    left = b.gep(left, b.mul(k, reduction.left), element)
    right = b.gep(right, b.mul(k, reduction.right), element)
    for u in range(count):
        vectors = [
            b.load(b.gep(right, u * reduction.right + j * lanes, element), tile.type) for j in range(tile.vectors)
        ]
        for i, row in enumerate(tile.rows):
            scalar = b.splat(b.load(b.gep(left, row + u * reduction.left, element), element), lanes)
            for j, vector in enumerate(vectors):
                at = i * tile.vectors + j
                sums[at] = b.fma(scalar, vector, sums[at])
    return sums


def _prefetch(b: Builder, stream: Stream, start: Ssa, k: Index, unroll: int, type: Type) -> None:
    line = b.mul(b.div(k, unroll), stream.per_round)
    first = b.gep(start, b.add(stream.offset, b.mul(line, stream.spacing)), type.scalar)
    for number in range(stream.per_round):
        b.prefetch(b.gep(first, number * stream.spacing, type.scalar), stream.locality)
