"""Heaps in memory: the worst of many entries is always at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from glowpy_backends.cpu.builder import I1, I64, Builder, Index, Ssa, Type, constant, index
from glowpy_backends.cpu.kernels.ordering import is_greater

E = TypeVar("E")


@dataclass(frozen=True)
class Heap(Generic[E]):
    """Entries of which each is worse than the two at twice its number; there is room for ``room`` of them."""

    b: Builder
    room: int

    def at(self, number: Index) -> E:
        """The entry at a place."""
        raise NotImplementedError

    def put(self, number: Index, entry: E) -> None:
        """Writes an entry to a place, in order or not."""
        raise NotImplementedError

    def is_worse(self, one: E, other: E) -> Ssa:
        """Whether ``one`` comes after ``other``."""
        raise NotImplementedError

    def settle(self, size: Index) -> None:
        """Brings the first ``size`` entries in order, each letting sink to where it belongs."""
        b = self.b
        half = b.div(size, 2)

        def sink(i: Index, _: list[Ssa]) -> None:
            number = b.sub(b.sub(half, 1), i)
            self.sift(number, size, self.at(number))

        b.branch(b.less(0, half), lambda: _none(b.loop(0, half, 1, sink)))

    def sift(self, number: Index, size: Index, entry: E) -> None:
        """Puts ``entry`` at ``number`` or below, in a heap of ``size`` entries; worse ones rise."""
        b = self.b

        def level(_: Index, carried: list[Ssa]) -> list[Ssa]:
            hole, sinking = carried
            left = b.add(b.mul(hole, 2), 1)
            exists = b.op("and", sinking, b.less(left, size))

            def compared() -> list[Ssa]:
                right = b.smaller(b.add(left, 1), b.sub(size, 1))
                child = b.select(self.is_worse(self.at(right), self.at(left)), index(right), index(left))
                risen = self.at(child)
                rises = self.is_worse(risen, entry)
                b.branch(rises, lambda: self.put(hole, risen))
                return [b.select(rises, child, hole), rises]

            return b.branch(exists, compared, lambda: [hole, constant(False, I1)])

        place, _ = b.loop(0, self.room.bit_length(), 1, level, [index(number), constant(True, I1)])
        self.put(place, entry)


def _none(_: object) -> None:
    return None


@dataclass(frozen=True)
class Ranked:
    """A value and where it stood."""

    value: Ssa
    place: Ssa


@dataclass(frozen=True)
class RankedHeap(Heap[Ranked]):
    """A heap of values and their places, which lie apart."""

    type: Type
    signed: bool
    largest: bool
    values: Ssa
    places: Ssa

    def at(self, number: Index) -> Ranked:
        b = self.b
        value = b.load(b.gep(self.values, number, self.type), self.type)
        return Ranked(value, b.load(b.gep(self.places, number, I64), I64))

    def put(self, number: Index, entry: Ranked) -> None:
        b = self.b
        b.store(entry.value, b.gep(self.values, number, self.type))
        b.store(entry.place, b.gep(self.places, number, I64))

    def is_worse(self, one: Ranked, other: Ranked) -> Ssa:
        """By value, then by place."""
        b = self.b
        above = is_greater(b, one.value, other.value, self.signed)
        below = is_greater(b, other.value, one.value, self.signed)
        after, before = (below, above) if self.largest else (above, below)
        return b.select(before, constant(False, I1), b.op("or", after, b.compare("sgt", one.place, other.place)))
