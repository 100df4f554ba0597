"""An order of instructions in which the least memory is alive at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from glowpy.program.beam import beam_search
from glowpy.program.list_schedule import list_schedule
from glowpy.program.region import Region, backwards
from glowpy_ir.errors import InvalidIR

EFFORT = 100_000
"""Steps that searches may try (some 5 us each); counted, not timed, so that every machine finds the same order."""

WINDOW = 32
"""Length of the windows in which an order with longer stretches is refined."""

WINDOW_EFFORT = 20_000
"""Steps that may be tried in windows."""

WIDEST_BEAM = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction: which ones it must follow, and which buffers must be alive while it runs."""

    after: frozenset[int]
    """Numbers of steps, all smaller than this one's own."""

    buffers: frozenset[Hashable]
    """What it reads or writes. A buffer is alive from the first to the last step that touches it."""


@dataclass(frozen=True)
class _Stretch:
    """Steps that stand together in the schedule."""

    steps: tuple[int, ...]
    region: Region
    held: int
    """Bytes alive all the time in buffers that none of the steps touches."""

    @property
    def peak(self) -> int:
        """Bytes alive at the worst moment of the given order."""
        return self.held + self.region.peak(range(len(self.steps)))

    @property
    def bound(self) -> int:
        """No order of the steps has a lower peak."""
        return self.held + self.region.bound


def order(steps: Sequence[Step], sizes: Mapping[Any, int]) -> list[int]:
    """The numbers of `steps` in an order that respects `after`, with a live peak as low as can be found.

    sizes: bytes of every buffer that is touched.

    The given order is kept unless a better one is found. It is cut where all that comes before is needed for all that
    comes after, and the stretches between the cuts are reordered; then windows of the whole, to catch what a search
    of a long stretch has missed. Raises InvalidIR if a step does not come after all those that it follows.
    """
    for number, step in enumerate(steps):
        if step.after and not 0 <= min(step.after) <= max(step.after) < number:
            raise InvalidIR(f"step {number} cannot follow the steps {sorted(step.after)}")

    def peak(candidate: Sequence[int]) -> int:
        return live_peak(steps, sizes, candidate)

    given = list(range(len(steps)))
    best = min(given, _tightened(steps), key=peak)
    stretches = _stretches(steps, sizes, best, _cuts(steps, best))
    best = _reordered(stretches, EFFORT)
    if any(len(stretch.steps) > WINDOW for stretch in stretches):
        for first in (WINDOW, WINDOW // 2):
            windows = [0, *range(first, len(steps), WINDOW), len(steps)]
            best = _reordered(_stretches(steps, sizes, best, windows), WINDOW_EFFORT)
    return min(given, best, key=peak)


def live_peak(steps: Sequence[Step], sizes: Mapping[Any, int], order: Sequence[int]) -> int:
    """The most bytes alive at once when the steps run in this order."""
    unfinished = Counter(buffer for step in steps for buffer in step.buffers)
    born: set[Hashable] = set()
    live = peak = 0
    for number in order:
        for buffer in steps[number].buffers - born:
            live += sizes[buffer]
        peak = max(peak, live)
        born |= steps[number].buffers
        for buffer in steps[number].buffers:
            unfinished[buffer] -= 1
            if not unfinished[buffer]:
                live -= sizes[buffer]
    return peak


def _followers(steps: Sequence[Step]) -> list[list[int]]:
    result: list[list[int]] = [[] for _ in steps]
    for number, step in enumerate(steps):
        for earlier in step.after:
            result[earlier].append(number)
    return result


def _loose_ends(steps: Sequence[Step]) -> tuple[frozenset[int], frozenset[int]]:
    """Steps that wait for nothing, and steps that nothing waits for, without a buffer of their own.

    The first run best just before their first follower, and the second just after the last step that they follow.
    """
    users = Counter(buffer for step in steps for buffer in step.buffers)
    shared = {number for number, step in enumerate(steps) if all(users[buffer] > 1 for buffer in step.buffers)}
    awaited = {earlier for step in steps for earlier in step.after}
    sources = frozenset(number for number in shared & awaited if not steps[number].after)
    sinks = frozenset(number for number in shared - awaited if steps[number].after)
    return sources, sinks


def _tightened(steps: Sequence[Step]) -> list[int]:
    """The given order with its loose ends where they run best."""
    sources, sinks = _loose_ends(steps)
    followers = _followers(steps)

    def place(number: int) -> tuple[int, int, int]:
        if number in sources and sinks.isdisjoint(followers[number]):
            return min(followers[number]), 0, number
        if number in sinks and sources.isdisjoint(steps[number].after):
            return max(steps[number].after), 2, number
        return number, 1, number

    return sorted(range(len(steps)), key=place)


def _cuts(steps: Sequence[Step], order: Sequence[int]) -> list[int]:
    """Where stretches of the order begin and end.

    It is cut after a step that every earlier step leads to and that leads to every later one, loose ends apart.
    """
    sources, sinks = _loose_ends(steps)
    position = {number: index for index, number in enumerate(order)}
    next_step = [0 if number in sinks else len(order) for number in order]
    last_step = [len(order) if number in sources else -1 for number in order]
    for index, number in enumerate(order):
        for earlier in steps[number].after:
            if number not in sinks:
                next_step[position[earlier]] = min(next_step[position[earlier]], index)
            if earlier not in sources:
                last_step[index] = max(last_step[index], position[earlier])
    reached = accumulate(next_step, max, initial=0)  # of the steps before: the latest of their next steps
    reaching = [*accumulate(reversed(last_step), min, initial=len(order))][-2::-1]  # of those behind: the earliest
    cuts = [index + 1 for index, (r, s) in enumerate(zip(reached, reaching, strict=False)) if r <= index <= s]
    return [0, *cuts] if cuts and cuts[-1] == len(order) else [0, *cuts, len(order)]


def _stretches(
    steps: Sequence[Step], sizes: Mapping[Any, int], order: Sequence[int], cuts: Sequence[int]
) -> list[_Stretch]:
    """The order in pieces, each with the memory that it finds and leaves alive."""
    touched = [steps[number].buffers for number in order]
    first: dict[Hashable, int] = {}
    last: dict[Hashable, int] = {}
    for index, buffers in enumerate(touched):
        for buffer in buffers:
            first.setdefault(buffer, index)
            last[buffer] = index
    grown = [0] * (len(order) + 1)
    for buffer in first:
        grown[first[buffer] + 1] += sizes[buffer]
        grown[last[buffer] + 1] -= sizes[buffer]
    alive = list(accumulate(grown))  # between the steps

    def stretch(begin: int, end: int) -> _Stretch:
        inside = {number: index for index, number in enumerate(order[begin:end])}
        local = {buffer: i for i, buffer in enumerate(dict.fromkeys(b for row in touched[begin:end] for b in row))}
        users = [0] * len(local)
        for index, buffers in enumerate(touched[begin:end]):
            for buffer in buffers:
                users[local[buffer]] |= 1 << index
        region = Region(
            after=tuple(sum(1 << inside[n] for n in steps[m].after if n in inside) for m in inside),
            buffers=tuple(tuple(local[b] for b in row) for row in touched[begin:end]),
            sizes=tuple(sizes[b] for b in local),
            users=tuple(users),
            entering=sum(1 << i for b, i in local.items() if first[b] < begin),
            leaving=sum(1 << i for b, i in local.items() if last[b] >= end),
        )
        return _Stretch(tuple(inside), region, alive[begin] - region.at_start)

    return [stretch(begin, end) for begin, end in pairwise(cuts)]


def _reordered(stretches: Sequence[_Stretch], effort: int) -> list[int]:
    """All steps, with those stretches reordered that the peak depends on: the one with the highest peak, then the next,
    until one that was reordered before has the highest."""
    peaks = {index: stretch.peak for index, stretch in enumerate(stretches)}
    enough = max((stretch.bound for stretch in stretches), default=0)
    steps = [stretch.steps for stretch in stretches]
    for index in sorted(peaks, key=lambda index: -peaks[index]):
        if peaks[index] <= enough:
            break
        region, held = stretches[index].region, stretches[index].held
        found, spent = _search(region, enough - held, effort)
        effort -= spent
        steps[index] = tuple(steps[index][local] for local in found)
        enough = max(enough, held + region.peak(found))
    return [number for piece in steps for number in piece]


def _search(region: Region, enough: int, effort: int) -> tuple[list[int], int]:
    """The best order of a region that list scheduling and beam search find, and the effort spent.

    Both also run backwards in time; the first order whose peak is not above `enough` is taken.
    """
    width = min(WIDEST_BEAM, effort // len(region) ** 2)
    spent = 0

    def beam(directed: Region) -> list[int]:
        nonlocal spent
        found, tried = beam_search(directed, enough, width)
        spent += tried
        return found

    best = list(range(len(region)))
    for search in (list_schedule, beam) if width else (list_schedule,):
        for backward in (False, True):
            if region.peak(best) <= enough:
                return best, spent
            found = backwards(search(region.reversed())) if backward else search(region)
            best = min(best, found, key=region.peak)
    return best, spent
