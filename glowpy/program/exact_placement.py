"""Exact placement of few blocks: branch and bound over the orders in which blocks can be stacked.

A packing in which no block can be lowered is rebuilt by taking its blocks by rising offset and dropping each onto
what already lies below it. So it is enough to search sequences with offsets that never fall (Moffitt, MiniMalloc,
ASPLOS 2023, searches the same space).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy.program.skyline import Blocks, Ints


@dataclass(frozen=True)
class Outcome:
    """What a search found."""

    offsets: Ints | None
    """The best packing lower than the one to beat, if the search met one."""

    optimal: bool
    """True if no packing is lower than the one found, or than the one to beat where none was found."""


def search(blocks: Blocks, beat: int, steps: int) -> Outcome:
    """The lowest packing below the height `beat` that is found in at most `steps` steps of the search."""
    tree = _Tree(blocks, beat, steps)
    complete = tree.explore(tuple(tree.order), [0] * len(blocks), blocks.loads().tolist(), 0, -1)
    offsets = None if tree.best is None else np.array(tree.best, np.int64)
    return Outcome(offsets, complete)


class _Tree:
    """A depth-first walk that keeps the best packing met so far."""

    def __init__(self, blocks: Blocks, beat: int, steps: int) -> None:
        count = len(blocks)
        self.first, self.last, self.size = (a.tolist() for a in (blocks.first, blocks.last, blocks.size))
        self.rivals = [np.flatnonzero(blocks.overlapping(block)).tolist() for block in range(count)]
        self.bound = int(blocks.loads().max(initial=0))
        self.order = sorted(range(count), key=lambda b: ((self.first[b] - self.last[b]) * self.size[b], b))
        self.rank = {block: rank for rank, block in enumerate(self.order)}
        self.offsets = [0] * count
        self.best: list[int] | None = None
        self.limit = beat - 1
        self.steps = steps

    def explore(self, waiting: tuple[int, ...], level: list[int], load: list[int], base: int, rank: int) -> bool:
        """Try all ways to stack the `waiting` blocks; False if the search gave up before it had tried them all.

        level: the offset at which each block would come to lie now.
        load: the sum of the waiting sizes in each section.
        base, rank: offset and rank of the block placed last.
        """
        if not waiting:
            self.best = self.offsets.copy()
            self.limit = max(o + s for o, s in zip(self.best, self.size, strict=True)) - 1
            return True
        if self.steps == 0:
            return False
        self.steps -= 1
        if self._hopeless(waiting, level, load, base):
            return True
        # Above the lowest possible top, a block would only leave room in which another one fits entirely.
        ceiling = min(level[block] + self.size[block] for block in waiting)
        choices = [block for block in waiting if base <= level[block] < ceiling]
        for block in sorted(choices, key=level.__getitem__):
            if level[block] == base and self.rank[block] < rank:
                continue  # two blocks at one offset can be stacked in either order: one is enough
            raised = self._drop(block, waiting, level)
            if raised is None:
                continue
            rest = tuple(other for other in waiting if other != block)
            lighter = load.copy()
            for section in range(self.first[block], self.last[block]):
                lighter[section] -= self.size[block]
            self.offsets[block] = level[block]
            if not self.explore(rest, raised, lighter, level[block], self.rank[block]):
                return False
            if self.limit < self.bound:
                return True
        return True

    def _hopeless(self, waiting: tuple[int, ...], level: list[int], load: list[int], base: int) -> bool:
        """Whether some section cannot hold its waiting blocks above the lowest place that any of them can take."""
        lowest = [self.limit + 1] * len(load)
        for block in waiting:
            at = max(level[block], base)
            for section in range(self.first[block], self.last[block]):
                lowest[section] = min(lowest[section], at)
        return any(sum_ and low + sum_ > self.limit for low, sum_ in zip(lowest, load, strict=True))

    def _drop(self, block: int, waiting: tuple[int, ...], level: list[int]) -> list[int] | None:
        """The levels after `block` came to lie, or None if a waiting block no longer fits below the limit."""
        top = level[block] + self.size[block]
        if top > self.limit:
            return None
        raised = level.copy()
        alive = set(waiting)
        for rival in self.rivals[block]:
            if rival in alive and rival != block and raised[rival] < top:
                raised[rival] = top
                if top + self.size[rival] > self.limit:
                    return None
        return raised
