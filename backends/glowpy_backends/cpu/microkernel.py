"""The register tile that all matrix products are made of: rows of scalars times vectors of a packed panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type
from glowpy_backends.cpu.pairs import add_products
from glowpy_backends.cpu.quads import add_products_of_quads


@dataclass(frozen=True)
class RegisterTile:
    """``rows x vectors`` accumulators; ``rows`` holds each row's displacement in the left operand, in elements.

    Of the last vector of the right operand ``tail`` lanes are in memory. If the operands are ``pairs``, an element is
    two integers of 16 bits, whose two products are added.
    """

    type: Type
    rows: tuple[int, ...]
    vectors: int
    tail: int
    pairs: bool = False
    quads: bool = False
    """Whether an element is four integers of 8 bits; see ``add_products_of_quads``."""


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

        def level(_: Index, carried: list[Ssa]) -> list[Ssa]:
            here, panel, *partial = carried
            partial = accumulate(b, tile, here, panel, partial, inner, unroll, streams)
            return [*_advance(b, tile, here, panel, outer, 1), *partial]

        return b.loop(0, outer.extent, 1, level, [left, right, *sums])[2:]

    (innermost,) = reductions
    extent = innermost.extent
    if not isinstance(extent, int):
        raise TypeError("the innermost extent of a reduction is known when code is generated")
    whole = extent - extent % unroll

    def round(k: Index, carried: list[Ssa]) -> list[Ssa]:
        here, panel, *partial = carried
        for stream in streams:
            _prefetch(b, stream, left if stream.left else right, b.div(k, unroll), tile.type)
        partial = _steps(b, tile, here, panel, partial, innermost, unroll)
        return [*_advance(b, tile, here, panel, innermost, unroll), *partial]

    left, right, *sums = b.loop(0, whole, unroll, round, [left, right, *sums])
    return _steps(b, tile, left, right, list(sums), innermost, extent - whole)


def _advance(b: Builder, tile: RegisterTile, left: Ssa, right: Ssa, reduction: Reduction, steps: int) -> list[Ssa]:
    """Pointers are carried, not computed from counters: LLVM then keeps one register for each operand."""
    element = tile.type.scalar
    return [b.gep(left, steps * reduction.left, element), b.gep(right, steps * reduction.right, element)]


def _steps(
    b: Builder,
    tile: RegisterTile,
    left: Ssa,
    right: Ssa,
    sums: list[Ssa],
    reduction: Reduction,
    count: int,
) -> list[Ssa]:
    """``count`` steps of the innermost reduction in straight-line code."""
    element, lanes = tile.type.scalar, tile.type.lanes
    multiply_add = add_products if tile.pairs else add_products_of_quads if tile.quads else Builder.fma
    for u in range(count):
        places = [b.gep(right, u * reduction.right + j * lanes, element) for j in range(tile.vectors)]
        vectors = [b.load(place, tile.type) for place in places[:-1]]
        vectors.append(b.load_first(places[-1], tile.tail, tile.type))
        for i, row in enumerate(tile.rows):
            scalar = b.splat(b.load(b.gep(left, row + u * reduction.left, element), element), lanes)
            for j, vector in enumerate(vectors):
                at = i * tile.vectors + j
                sums[at] = multiply_add(b, scalar, vector, sums[at])
    return sums


def _prefetch(b: Builder, stream: Stream, start: Ssa, round: Index, type: Type) -> None:
    line = b.mul(round, stream.per_round)
    first = b.gep(start, b.add(stream.offset, b.mul(line, stream.spacing)), type.scalar)
    for number in range(stream.per_round):
        b.prefetch(b.gep(first, number * stream.spacing, type.scalar), stream.locality)
