"""Beam search for the order of a region's steps with the least peak of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from glowpy.program.region import Region

LONGEST_RUN = 32
"""How many steps a look-ahead may take."""


@dataclass(frozen=True, slots=True)
class _State:
    """A set of steps that are done, and the best way known to get there."""

    done: int
    count: int
    ready: tuple[int, ...]
    live: int
    """Bytes alive now."""
    peak: int
    """Bytes alive at the worst moment so far."""
    step: int
    """The step done last."""
    before: _State | None

    def order(self) -> list[int]:
        """All steps done."""
        steps = []
        state = self
        while state.before:
            steps.append(state.step)
            state = state.before
        return steps[::-1]


def beam_search(region: Region, enough: int, width: int) -> tuple[list[int], int]:
    """The best order of all steps that is found when only `width` sets of steps of each size are followed further,
    and how many sets were looked at.

    A peak of `enough` bytes is as good as any lower one. The order is optimal if no more than `width` sets of one
    size can be done first.
    """
    tried = 0
    followers = region.followers()
    start = _State(0, 0, tuple(s for s, before in enumerate(region.after) if not before), region.at_start, 0, -1, None)
    levels: list[dict[int, _State]] = [{} for _ in range(len(region) + 1)]
    levels[0][0] = start
    for level in levels[:-1]:
        best = sorted(level.values(), key=lambda s: (max(s.peak, enough), s.live, s.done))
        for state in best[:width]:
            for reached in _successors(region, followers, state):
                tried += reached.count - state.count
                known = levels[reached.count].get(reached.done)
                if known is None or reached.peak < known.peak:
                    levels[reached.count][reached.done] = reached
        level.clear()
    return levels[-1].popitem()[1].order(), tried


def _successors(region: Region, followers: list[list[int]], state: _State) -> Iterator[_State]:
    """The states one step on; and for a step that leaves more alive, the end of the run that it begins.

    A run goes on with the cheapest of the steps that it made ready itself until less is alive than at its start:
    the way from one valley of memory to the next, over which a narrow beam could not see (Liu, 1987, shows for trees
    that these are the units to put in order).
    """
    for step in state.ready:
        reached = _take(region, followers, state, step)
        yield reached
        valley = reached
        for _ in range(LONGEST_RUN):
            enabled = reached.ready[len(state.ready) - 1 :]  # what the run made ready stands at the end
            if reached.live <= state.live or not enabled:
                break
            reached = min((_take(region, followers, reached, s) for s in enabled), key=lambda s: (s.live, s.peak))
            if reached.live < valley.live:
                valley = reached
        if valley.count > state.count + 1:
            yield valley


def _take(region: Region, followers: list[list[int]], state: _State, step: int) -> _State:
    """The state after one more step."""
    done = state.done | 1 << step
    born, dead = region.change(step, state.done)
    enabled = tuple(s for s in followers[step] if not region.after[s] & ~done)
    return _State(
        done,
        state.count + 1,
        tuple(s for s in state.ready if s != step) + enabled,
        state.live + born - dead,
        max(state.peak, state.live + born),
        step,
        state,
    )
