"""Skyline packing: blocks with a fixed place in time are dropped, lowest first, each onto what lies below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

PLACED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Blocks:
    """Rectangles over a compressed time axis: block i covers the sections `first[i] <= t < last[i]`.

    A section begins where some block begins, so that two blocks overlap in time exactly if they share one.
    """

    first: Ints
    last: Ints
    size: Ints

    @staticmethod
    def of(intervals: Sequence[tuple[int, int]], sizes: Sequence[int]) -> Blocks:
        """Blocks of the half-open `intervals`; none is empty."""
        starts = sorted({start for start, _ in intervals})
        section = {start: index for index, start in enumerate(starts)}
        first = np.array([section[start] for start, _ in intervals], np.int64)
        last = np.searchsorted(np.array(starts, object), np.array([end for _, end in intervals], object))
        return Blocks(first, last.astype(np.int64), np.array(sizes, np.int64))

    def __len__(self) -> int:
        return len(self.size)

    def overlapping(self, block: int) -> npt.NDArray[np.bool_]:
        """Which blocks share a section with `block`; itself among them."""
        mask: npt.NDArray[np.bool_] = (self.first < self.last[block]) & (self.last > self.first[block])
        return mask

    def loads(self) -> Ints:
        """The sum of the sizes of the blocks in each section; the largest bounds every packing from below."""
        change = [0] * (int(self.last.max(initial=0)) + 1)
        for first, last, size in zip(self.first.tolist(), self.last.tolist(), self.size.tolist(), strict=True):
            change[first] += size
            change[last] -= size
        return np.array(list(accumulate(change))[:-1], np.int64)

    def top(self, offsets: Ints) -> int:
        """The height of a packing."""
        return int((offsets + self.size).max(initial=0))


def pack(blocks: Blocks, order: Ints, limit: int) -> Ints | None:
    """Offsets of a packing not higher than `limit`, or None if this `order` leads to a higher one.

    Every step takes the block that can come to lie lowest (the earliest in `order` among equals), as best-fit
    strip packing does (Burke, Kendall and Whitwell, 2004). One step costs time linear in the number of blocks.
    """
    first, last, size = blocks.first[order], blocks.last[order], blocks.size[order]
    begins, ends, sizes = first.tolist(), last.tolist(), size.tolist()
    level = np.zeros(len(blocks), np.int64)
    offsets = np.zeros(len(blocks), np.int64)
    for _ in sizes:
        block = int(level.argmin())
        offset = int(level[block])
        top = offset + sizes[block]
        if top > limit:
            return None
        offsets[order[block]] = offset
        level[block] = PLACED
        np.maximum(level, top, out=level, where=(first < ends[block]) & (last > begins[block]))
    return offsets


def _descending(*keys: npt.NDArray[np.generic]) -> Ints:
    """Block numbers by falling keys, the first key first; the number itself decides between equals."""
    return np.lexsort([-key for key in reversed(keys)]).astype(np.int64)


def _lifetime(blocks: Blocks) -> Ints:
    return blocks.last - blocks.first


def _area(blocks: Blocks) -> npt.NDArray[np.float64]:
    return _lifetime(blocks).astype(np.float64) * blocks.size.astype(np.float64)


def _crowding(blocks: Blocks) -> Ints:
    """The largest load that a block lives through."""
    loads = blocks.loads()
    spans = zip(blocks.first.tolist(), blocks.last.tolist(), strict=True)
    return np.array([loads[first:last].max() for first, last in spans], np.int64)


ORDERS: tuple[Callable[[Blocks], Ints], ...] = (
    lambda blocks: _descending(_crowding(blocks), _lifetime(blocks), blocks.size),
    lambda blocks: _descending(_area(blocks), blocks.size),
    lambda blocks: _descending(_crowding(blocks), _area(blocks), blocks.size),
    lambda blocks: _descending(_lifetime(blocks), blocks.size),
    lambda blocks: _descending(blocks.size, _lifetime(blocks)),
    lambda blocks: _descending(-blocks.first, _lifetime(blocks)),
)
"""Orders worth trying, the most often successful first."""
