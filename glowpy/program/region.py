"""A region of a schedule: steps that may be reordered among themselves, and the memory that they touch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Steps numbered from 0 in an order that respects `after`; buffers are numbered from 0 too.

    Sets of steps and of buffers are bit masks.
    """

    after: tuple[int, ...]
    """For each step, the steps that come before it."""

    buffers: tuple[tuple[int, ...], ...]
    """For each step, the buffers that it reads or writes."""

    sizes: tuple[int, ...]
    """Bytes of each buffer."""

    users: tuple[int, ...]
    """For each buffer, the steps that touch it."""

    entering: int
    """Buffers that are alive before the first step."""

    leaving: int
    """Buffers that are alive after the last step."""

    def __len__(self) -> int:
        return len(self.after)

    @property
    def at_start(self) -> int:
        """Bytes of the region's buffers that are alive before the first step."""
        return sum(size for b, size in enumerate(self.sizes) if self.entering >> b & 1)

    @property
    def bound(self) -> int:
        """No order has a lower peak: every step needs its own buffers."""
        return max((sum(self.sizes[b] for b in touched) for touched in self.buffers), default=0)

    def change(self, step: int, done: int) -> tuple[int, int]:
        """Bytes that come to life when `step` starts after the steps `done`, and bytes that die when it ends."""
        born = dead = 0
        now = done | 1 << step
        for buffer in self.buffers[step]:
            users = self.users[buffer]
            if not (users & done or self.entering >> buffer & 1):
                born += self.sizes[buffer]
            if not (users & ~now or self.leaving >> buffer & 1):
                dead += self.sizes[buffer]
        return born, dead

    def peak(self, order: Iterable[int]) -> int:
        """The most bytes of the region's buffers that are alive at once when the steps run in this order."""
        live = peak = self.at_start
        done = 0
        for step in order:
            born, dead = self.change(step, done)
            peak = max(peak, live + born)
            live += born - dead
            done |= 1 << step
        return peak

    def followers(self) -> list[list[int]]:
        """For each step, the steps that wait for it."""
        result: list[list[int]] = [[] for _ in self.after]
        for step, before in enumerate(self.after):
            for earlier in steps_in(before):
                result[earlier].append(step)
        return result

    def reversed(self) -> Region:
        """The region with time running backwards: step i becomes step n - 1 - i; every peak stays the same."""
        last = len(self) - 1
        after = [0] * len(self)
        for step, before in enumerate(self.after):
            for earlier in steps_in(before):
                after[last - earlier] |= 1 << (last - step)
        users = tuple(sum(1 << (last - step) for step in steps_in(mask)) for mask in self.users)
        return Region(tuple(after), self.buffers[::-1], self.sizes, users, self.leaving, self.entering)


def steps_in(mask: int) -> list[int]:
    """The members of a set, rising."""
    members = []
    while mask:
        lowest = mask & -mask
        members.append(lowest.bit_length() - 1)
        mask ^= lowest
    return members


def backwards(order: Sequence[int]) -> list[int]:
    """An order of the steps of `region.reversed()` as an order of the steps of `region`."""
    return [len(order) - 1 - step for step in reversed(order)]
