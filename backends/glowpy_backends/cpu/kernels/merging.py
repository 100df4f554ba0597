"""Sorting by merging: in rounds, sorted runs become half as many of twice the length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from glowpy_backends.cpu.builder import I64, PTR, Builder, Index, Ssa, Type, index


@dataclass(frozen=True)
class Keyed:
    """Numbers ``i64[count]`` in memory, and behind them the key of each."""

    b: Builder
    count: int
    key: Type
    start: Ssa

    def number_at(self, place: Index) -> Ssa:
        """The address of a number."""
        return self.b.gep(self.start, place, I64)

    def key_at(self, place: Index) -> Ssa:
        """The address of a key."""
        return self.b.gep(self.b.gep(self.start, self.count, I64), place, self.key)


def scratch_bytes(count: int, key: Type) -> int:
    """What ``merge_sort`` needs."""
    return 2 * _room(count, key)


def _room(count: int, key: Type) -> int:
    return 8 * count + -(-count * key.element_bytes // 8) * 8


def merge_sort(
    b: Builder,
    count: int,
    key: Type,
    scratch: Ssa,
    read: Callable[[Index], Ssa],
    is_before: Callable[[Ssa, Ssa], Ssa],
) -> Keyed:
    """The numbers ``0 … count - 1`` in the order of their keys; where keys are equal, in their own.

    ``read`` gives the key of a number, ``is_before`` tells whether a key must stand before another.
    """
    source, target = scratch, b.gep(scratch, _room(count, key) // 8, I64)

    def fill(i: Index, _: list[Ssa]) -> None:
        entries = Keyed(b, count, key, source)
        b.store(index(i), entries.number_at(i))
        b.store(read(i), entries.key_at(i))

    def merge_all(_: Index, carried: list[Ssa]) -> list[Ssa]:
        entries, merged = (Keyed(b, count, key, start) for start in carried[:2])
        width = carried[2]
        both = b.mul(width, 2)

        def merge_two(pair: Index, _: list[Ssa]) -> None:
            low = b.mul(pair, both)
            middle, high = b.smaller(b.add(low, width), count), b.smaller(b.add(low, both), count)
            _merge(entries, merged, low, middle, high, is_before)

        b.loop(0, b.div(b.add(b.sub(count, 1), both), both), 1, merge_two)
        return [carried[1], carried[0], index(both)]

    b.loop(0, count, 1, fill)
    rounds = max(count - 1, 0).bit_length()
    result, _, _ = b.loop(0, rounds, 1, merge_all, [source, target, index(1)])
    return Keyed(b, count, key, Ssa(result.name, PTR))


def _merge(
    entries: Keyed, merged: Keyed, low: Index, middle: Index, high: Index, is_before: Callable[[Ssa, Ssa], Ssa]
) -> None:
    """The runs from ``low`` to ``middle`` and on to ``high`` as one; of equal keys, those of the first run lead."""
    b = entries.b

    def step(k: Index, heads: list[Ssa]) -> list[Ssa]:
        left, right = heads
        places = [b.smaller(head, entries.count - 1) for head in heads]
        keys = [b.load(entries.key_at(place), entries.key) for place in places]
        numbers = [b.load(entries.number_at(place), I64) for place in places]
        left_is_used = b.compare("sge", left, index(middle))
        earlier = b.op("or", left_is_used, is_before(keys[1], keys[0]))
        takes_right = b.op("and", b.less(right, high), earlier)
        b.store(b.select(takes_right, numbers[1], numbers[0]), merged.number_at(k))
        b.store(b.select(takes_right, keys[1], keys[0]), merged.key_at(k))
        moved = b.cast("zext", takes_right, I64)
        return [b.op("add", left, b.op("sub", index(1), moved)), b.op("add", right, moved)]

    b.loop(low, high, 1, step, [index(low), index(middle)])
