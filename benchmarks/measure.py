"""Times engines against each other so that a noisy machine disturbs all of them alike.

Everything runs in one process, in rounds; in each round every engine gets one slice of time, and the order rotates.
What is compared is the ratio of two engines in the same round; the median of these ratios is the answer, and their
10th and 90th percentile say how far to trust it. Absolute times are reported too, but mean little on shared machines.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.engines import Run

SETTLE = 0.003
"""Seconds between two slices: the threads of the engine before stop spinning within these."""


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, with the tenth and the ninetieth percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = np.percentile(values, (10, 50, 90))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Timing:
    """Seconds for one inference, one figure for each round and engine."""

    rounds: Mapping[str, Sequence[float]]

    def milliseconds(self, engine: str) -> Spread:
        return Spread.of([1e3 * seconds for seconds in self.rounds[engine]])

    def ratio(self, engine: str, other: str) -> Spread:
        """How many times longer ``other`` takes than ``engine``."""
        pairs = zip(self.rounds[engine], self.rounds[other], strict=True)
        return Spread.of([theirs / ours for ours, theirs in pairs])


def measure(runs: Mapping[str, Run], rounds: int, slice_seconds: float) -> Timing:
    """Time each engine once a round, in slices of about ``slice_seconds``."""
    names = list(runs)
    counts = {name: _calibrate(run, slice_seconds) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        shift = turn % max(len(names), 1)
        for name in (*names[shift:], *names[:shift]):
            time.sleep(SETTLE)
            seconds[name].append(_slice(runs[name], counts[name]))
    return Timing(seconds)


def _calibrate(run: Run, slice_seconds: float) -> int:
    """Warm up for two slices at least and three runs; how many runs fill a slice."""
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < 2 * slice_seconds:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return max(1, round(slice_seconds / min(taken)))


def _slice(run: Run, count: int) -> float:
    run()  # brings the engine's code and weights back into the caches
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
