"""Static placement: every buffer of a program gets an offset in one arena, as small an arena as can be found."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from glowpy.program.exact_placement import search
from glowpy.program.skyline import ORDERS, Blocks, Ints, pack
from glowpy_ir.errors import InvalidIR, Unsupported

LARGEST_ADDRESS = 2**63 - 1

EFFORT = 60_000_000
"""Work that may be spent on more than three packings: about half a second. Counted, not timed, so that every machine
finds the same placement."""

EXACT_BLOCKS = 64
EXACT_STEPS = 2_000
"""How many blocks the exact search is tried on, and for how many steps (some 0.1 ms each)."""


@dataclass(frozen=True, slots=True)
class LiveRange:
    """A buffer of `size` bytes that is in use at the steps `start <= step < end`.

    A buffer written by instruction i and read last by instruction j has `start=i, end=j + 1`: it shares step j with
    the results of j. Ranges with `a.end == b.start` may have the same address.
    """

    name: Hashable
    size: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each live range lies in an arena."""

    offsets: Mapping[Hashable, int]
    """Offset in bytes by name, a multiple of the alignment."""

    size: int
    """Bytes of the arena."""

    live_peak: int
    """The largest sum of aligned sizes that are in use at one step: no arena can be smaller."""

    @property
    def ratio(self) -> float:
        """Arena over live peak: 1.0 is the best there can be."""
        return self.size / self.live_peak if self.live_peak else 1.0


def place(ranges: Iterable[LiveRange], alignment: int = 64) -> Placement:
    """Offsets for `ranges`, such that no two ranges in use at one step share a byte.

    Sizes are rounded up to `alignment` bytes; a range of size 0 gets offset 0. The same ranges in the same order
    always get the same offsets.

    Raises InvalidIR if a range is empty, has a negative size or a name used twice, or if `alignment` is not positive;
    Unsupported if the sizes add up to more than an address can hold.
    """
    ranges = tuple(ranges)
    _check(ranges, alignment)
    offsets: dict[Hashable, int] = {r.name: 0 for r in ranges}
    solid = [r for r in ranges if r.size]
    aligned = [-(-r.size // alignment) * alignment for r in solid]
    if sum(aligned) > LARGEST_ADDRESS:
        raise Unsupported(
            f"the buffers of this program add up to {sum(aligned)} bytes, more than 64-bit addresses can hold; "
            "bind symbolic dimensions to smaller values"
        )
    blocks = Blocks.of([(r.start, r.end) for r in solid], aligned)
    packing = _best_packing(blocks)
    offsets.update(zip((r.name for r in solid), packing.tolist(), strict=True))
    return Placement(offsets, blocks.top(packing), int(blocks.loads().max(initial=0)))


def _check(ranges: tuple[LiveRange, ...], alignment: int) -> None:
    if alignment < 1:
        raise InvalidIR(f"alignment must be a positive number of bytes, not {alignment}")
    names: set[Hashable] = set()
    for r in ranges:
        if r.size < 0:
            raise InvalidIR(f"live range {r.name!r} has the negative size {r.size}")
        if r.start >= r.end:
            raise InvalidIR(f"live range {r.name!r} is empty: it starts at {r.start} and ends at {r.end}")
        if r.name in names:
            raise InvalidIR(f"two live ranges have the name {r.name!r}")
        names.add(r.name)


def _best_packing(blocks: Blocks) -> Ints:
    """Greedy orders, then the exact search if there are few blocks, then hill climbing; done at the lower bound."""
    bound = int(blocks.loads().max(initial=0))
    packs_left = EFFORT // (len(blocks) * (len(blocks) + 2_000) + 1)  # a step of `pack` costs what 2,000 blocks do
    best = np.zeros(len(blocks), np.int64)
    best_order = np.arange(len(blocks), dtype=np.int64)
    top = LARGEST_ADDRESS
    for make_order in ORDERS[: max(3, packs_left)]:
        order = make_order(blocks)
        packing = pack(blocks, order, limit=top - 1)
        if packing is not None:
            best, best_order, top = packing, order, blocks.top(packing)
        if top == bound:
            return best
    if len(blocks) <= EXACT_BLOCKS:
        outcome = search(blocks, beat=top, steps=EXACT_STEPS)
        best = best if outcome.offsets is None else outcome.offsets
        if outcome.optimal:
            return best
    climbed = _climb(blocks, best_order, bound, packs_left - len(ORDERS))
    return min(best, climbed, key=blocks.top)


def _climb(blocks: Blocks, order: Ints, bound: int, packs: int) -> Ints:
    """The packing of `order` after at most `packs` changes to it, none of which made the packing higher.

    A change takes a block to blame for the height, one that reaches the top or carries one that does, and exchanges
    it with a block of the same time or moves it to an earlier place in the order.
    """
    chance = Random(0).random  # of all methods of Random, this one gives the same numbers in every Python
    packing = pack(blocks, order, LARGEST_ADDRESS)
    assert packing is not None
    for _ in range(packs):
        top = blocks.top(packing)
        if top == bound:
            break
        place_of = np.argsort(order)
        at = int(place_of[_blamed(blocks, packing, top, chance)])
        changed = order.copy()
        if chance() < 0.5:
            same_time = np.flatnonzero(blocks.overlapping(int(order[at])))
            other = int(place_of[same_time[int(chance() * len(same_time))]])
            changed[[at, other]] = order[[other, at]]
        else:
            to = int(chance() * at)
            changed[to : at + 1] = np.roll(order[to : at + 1], 1)
        repacked = pack(blocks, changed, limit=top)
        if repacked is not None:
            order, packing = changed, repacked
    return packing


def _blamed(blocks: Blocks, packing: Ints, top: int, chance: Callable[[], float]) -> int:
    """A block that reaches `top`, or one of those that it rests on, further down with falling chance."""
    tops = packing + blocks.size
    resting_on = np.flatnonzero(tops == top)
    while True:
        block = int(resting_on[int(chance() * len(resting_on))])
        resting_on = np.flatnonzero((tops == packing[block]) & blocks.overlapping(block))
        if len(resting_on) == 0 or chance() < 0.3:
            return block
