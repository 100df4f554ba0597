"""Scheduling: the order of instructions in which the least memory is alive at once."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from glowpy.program.scheduling import Step, order
from glowpy_ir.program import (
    Activation,
    Instruction,
    Operand,
    Output,
    Program,
    Storage,
    ZeroHalo,
    box_of,
    may_overlap,
)


def schedule(program: Program) -> bool:
    """Reorder the instructions of a program without addresses; says whether the order changed."""
    after = dependences(program.instructions)
    steps = [
        Step(frozenset(after[i]), frozenset(s for o in instruction.operands() if _in_arena(s := o.buffer.storage)))
        for i, instruction in enumerate(program.instructions)
    ]
    sizes = {storage: storage.nbytes for step in steps for storage in step.buffers if isinstance(storage, Storage)}
    found = order(steps, sizes)
    changed = found != list(range(len(steps)))
    program.instructions[:] = [program.instructions[i] for i in found]
    return changed


def _in_arena(storage: Storage) -> bool:
    return isinstance(storage, Activation)


def dependences(instructions: Sequence[Instruction]) -> list[set[int]]:
    """For each instruction, the numbers of those that it must follow: they touch the same memory, and one writes it.

    The zeros of a halo come before everything else in their storage.
    """
    touched: dict[Storage, _Touched] = {}
    zeroed: dict[Storage, int] = {}
    after: list[set[int]] = []
    for i, instruction in enumerate(instructions):
        earlier: set[int] = set()
        for operand in instruction.operands():
            storage = operand.buffer.storage
            if not isinstance(storage, Activation | Output):
                continue
            if storage in zeroed:
                earlier.add(zeroed[storage])
            if isinstance(instruction, ZeroHalo):
                earlier.update(touch.number for touch in touched.get(storage, _Touched()).all())
                zeroed[storage] = i
                continue
            if operand.buffer.type.count:
                touch = _Touch(i, operand)
                known = touched.setdefault(storage, _Touched())
                earlier.update(other.number for other in known.near(touch) if touch.conflicts(other))
                known.add(touch)
        after.append(earlier - {i})
    return after


class _Touch:
    """An instruction, by its number, that touches a part of a storage."""

    def __init__(self, number: int, operand: Operand) -> None:
        self.number = number
        self.buffer, self.writes = operand.buffer, operand.writes
        box = box_of(operand.buffer)
        self.bounds = box.bounds if box else []
        """In each dimension; none if it is not cut out by slices alone."""

    def conflicts(self, other: _Touch) -> bool:
        """Whether the two may share an element, and one writes it."""
        if not (self.writes or other.writes):
            return False
        if self.bounds and other.bounds:
            return all(b > c and d > a for (a, b), (c, d) in zip(self.bounds, other.bounds, strict=True))
        return may_overlap(self.buffer, other.buffer)


@dataclass
class _Touched:
    """What was touched in one storage, found again by where it lies: thousands of slices may lie side by side.

    A slice is listed under the axis along which it is narrowest, with others of about its extent, by its start.
    """

    listed: dict[tuple[int, int], list[tuple[int, _Touch]]] = field(default_factory=dict)
    anywhere: list[_Touch] = field(default_factory=list)

    def add(self, touch: _Touch) -> None:
        if not touch.bounds:
            self.anywhere.append(touch)
            return
        extents = touch.buffer.storage.type.extents
        shares = [(end - start) / extent for (start, end), extent in zip(touch.bounds, extents, strict=True)]
        axis = shares.index(min(shares))
        start, end = touch.bounds[axis]
        insort(self.listed.setdefault((axis, (end - start).bit_length()), []), (start, touch), key=itemgetter(0))

    def near(self, touch: _Touch) -> Iterator[_Touch]:
        """All that may conflict with another, and more."""
        if not touch.bounds:
            yield from self.all()
            return
        yield from self.anywhere
        for (axis, bits), entries in self.listed.items():
            first, end = touch.bounds[axis]
            place = bisect(entries, first - (1 << bits), key=itemgetter(0))
            while place < len(entries) and entries[place][0] < end:
                yield entries[place][1]
                place += 1

    def all(self) -> Iterator[_Touch]:
        yield from self.anywhere
        for entries in self.listed.values():
            yield from (touch for _, touch in entries)
