"""Square matrices transposed in registers, by shuffles that are one instruction each."""

from __future__ import annotations

from collections.abc import Sequence

from glowpy_backends.cpu.builder import Builder, Ssa

_LANE_BYTES = 16
"""Interleaving instructions work inside lanes of 128 bits."""


def transpose(b: Builder, rows: Sequence[Ssa]) -> list[Ssa]:
    """The columns of a matrix of ``rows``; vectors have a power of two of lanes, at most 16 or one for each byte.

    There may be fewer rows than lanes: the last lanes of the columns then hold anything.
    """
    type = rows[0].type
    missing = Ssa("poison", type)
    matrix = [*rows, *[missing] * (type.lanes - len(rows))]
    size = min(type.lanes, _LANE_BYTES // type.element_bytes)
    groups = [_inside_lanes(b, matrix[i : i + size], size) for i in range(0, type.lanes, size)]
    columns: list[Ssa] = [missing] * type.lanes
    for j in range(size):
        blocks = [group[j] for group in groups]
        if len(blocks) > 1:
            blocks = [block if block.name == "poison" else b.opaque(block) for block in blocks]
        columns[j::size] = _across_lanes(b, blocks, size)
    return columns


def _inside_lanes(b: Builder, rows: list[Ssa], size: int) -> list[Ssa]:
    """Each ``size`` by ``size`` matrix transposed where it stands.

    Interleaving the first half of the rows with the second one, log2(size) times, brings element (i, j) to (j, i).
    """
    lanes = rows[0].type.lanes
    low = [lane + half for lane in _starts(lanes, size) for i in range(size // 2) for half in (i, lanes + i)]
    high = [pick + size // 2 for pick in low]
    for _ in range(size.bit_length() - 1):
        pairs = zip(rows[: size // 2], rows[size // 2 :], strict=True)
        rows = [_shuffle(b, x, y, picks) for x, y in pairs for picks in (low, high)]
    return rows


def _across_lanes(b: Builder, rows: list[Ssa], size: int) -> list[Ssa]:
    """A square matrix whose elements are blocks of ``size``, transposed: what interleaving does, undone in parallel."""
    lanes = rows[0].type.lanes
    even = [2 * start + i for start in _starts(lanes, size) for i in range(size)]
    odd = [pick + size for pick in even]
    for _ in range(len(rows).bit_length() - 1):
        rows = [_shuffle(b, x, y, picks) for picks in (even, odd) for x, y in zip(rows[::2], rows[1::2], strict=True)]
    return rows


def _starts(lanes: int, size: int) -> range:
    return range(0, lanes, size)


def _shuffle(b: Builder, x: Ssa, y: Ssa, picks: Sequence[int]) -> Ssa:
    if x.name == y.name == "poison":
        return x
    return b.shuffle(x, y, picks)
