"""Scheduling: every order is valid and never worse than the given one; small graphs get the best order there is.

Measured with the optimum of `least_peak`: of 1,000 random graphs of 4 to 13 steps (any, local, trees, layers), 1,000
got an optimal order; the given order was optimal for 484.

Tried by planting each fault (all are caught, the first test that fails is named):

- `Region.change` lets a buffer die that leaves the region: test_searches_agree_forwards_and_backwards_in_time;
- a cut where some later step does not need it, or some earlier one is not needed: test_small_graphs_get_the_best_order;
- the beam forgets what a step brings to life, or keeps the worse of two ways: test_small_graphs_get_the_best_order;
- no look-ahead in the beam: test_a_narrow_beam_looks_over_a_hill;
- an output counts as what a step leads to: test_a_side_output_is_not_cut_off;
- only the highest stretch is reordered: test_every_stretch_that_sets_the_peak_is_reordered;
- list scheduling takes freed memory for new memory: test_list_scheduling_frees_memory_as_soon_as_it_can.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glowpy.program.beam import beam_search
from glowpy.program.list_schedule import list_schedule
from glowpy.program.region import Region, backwards
from glowpy.program.scheduling import Step, live_peak, order
from glowpy_ir.errors import InvalidIR

Sizes = dict[Hashable, int]


def graph(edges: Iterable[tuple[int, int]], sizes: Sequence[int]) -> tuple[list[Step], Sizes]:
    """Step i writes buffer i of `sizes[i]` bytes, and reads the buffers of the steps with an edge to it."""
    after: list[set[int]] = [set() for _ in sizes]
    for earlier, later in edges:
        after[later].add(earlier)
    steps = [Step(frozenset(before), frozenset({i, *before})) for i, before in enumerate(after)]
    return steps, {i: size for i, size in enumerate(sizes)}


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> tuple[list[Step], Sizes]:
    """Steps with a result each, some with scratch, some that work in place, some without memory of their own."""
    steps: list[Step] = []
    sizes: Sizes = {}
    reach = draw(st.sampled_from([2, 4, most]))
    for i in range(draw(st.integers(0, most))):
        before = draw(st.sets(st.integers(max(0, i - reach), i - 1), max_size=3)) if i else set()
        buffers = {buffer for earlier in before for buffer in steps[earlier].buffers if buffer in range(100)}
        kind = draw(st.sampled_from(["result", "result", "result", "scratch", "in place"]))
        if kind != "in place":
            sizes[i] = draw(st.sampled_from([0, 1, 2, 3, 5, 8, 13]))
            buffers = {earlier for earlier in before if earlier in sizes} | {i}
        if kind == "scratch":
            sizes[100 + i] = draw(st.integers(1, 9))
            buffers.add(100 + i)
        steps.append(Step(frozenset(before), frozenset(buffers)))
    return steps, sizes


def least_peak(steps: Sequence[Step], sizes: Sizes) -> int:
    """The best peak of all orders: the least over every set of steps that can be done first."""
    users: dict[Hashable, set[int]] = {}
    for number, step in enumerate(steps):
        for buffer in step.buffers:
            users.setdefault(buffer, set()).add(number)

    def during(done: frozenset[int], step: int) -> int:
        alive = {b for b, u in users.items() if u & done and u - done} | steps[step].buffers
        return sum(sizes[b] for b in alive)

    best = {frozenset[int](): 0}
    for _ in steps:
        longer: dict[frozenset[int], int] = {}
        for done, peak in best.items():
            for number, step in enumerate(steps):
                if number not in done and step.after <= done:
                    now = done | {number}
                    longer[now] = min(longer.get(now, sys.maxsize), max(peak, during(done, number)))
        best = longer
    return best[frozenset(range(len(steps)))]


def is_valid(steps: Sequence[Step], found: Sequence[int]) -> bool:
    position = {number: index for index, number in enumerate(found)}
    return sorted(found) == list(range(len(steps))) and all(
        position[earlier] < position[number] for number, step in enumerate(steps) for earlier in step.after
    )


def region_of(steps: Sequence[Step], sizes: Sizes, entering: int, leaving: int) -> Region:
    """All steps as one region; `entering` and `leaving` are sets of buffers."""
    local = {buffer: i for i, buffer in enumerate(sizes)}
    return Region(
        after=tuple(sum(1 << earlier for earlier in step.after) for step in steps),
        buffers=tuple(tuple(local[b] for b in step.buffers) for step in steps),
        sizes=tuple(sizes.values()),
        users=tuple(sum(1 << i for i, step in enumerate(steps) if b in step.buffers) for b in local),
        entering=entering,
        leaving=leaving,
    )


def random_graph(count: int, reach: float, seed: int) -> tuple[list[Step], Sizes]:
    random = np.random.default_rng(seed)
    edges = [
        (max(0, later - 1 - int(random.exponential(reach))), later)
        for later in range(1, count)
        for _ in range(random.integers(1, 4))
    ]
    return graph(edges, random.choice([1, 2, 3, 5, 8, 40], count).tolist())


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_small_graphs_get_the_best_order(drawn: tuple[list[Step], Sizes]) -> None:
    steps, sizes = drawn
    found = order(steps, sizes)
    assert is_valid(steps, found)
    assert live_peak(steps, sizes, found) == least_peak(steps, sizes)


@given(graphs(most=45))
@settings(max_examples=30, deadline=None)
def test_orders_are_valid_and_never_worse(drawn: tuple[list[Step], Sizes]) -> None:
    steps, sizes = drawn
    found = order(steps, sizes)
    assert is_valid(steps, found)
    assert live_peak(steps, sizes, found) <= live_peak(steps, sizes, range(len(steps)))


@given(graphs(), st.integers(0, 2**9 - 1), st.integers(0, 2**9 - 1))
@settings(deadline=None)
def test_searches_agree_forwards_and_backwards_in_time(
    drawn: tuple[list[Step], Sizes], entering: int, leaving: int
) -> None:
    """A region has the peak of its mirror image, and a wide beam finds the same least peak in both."""
    steps, sizes = drawn
    region = region_of(steps, sizes, entering, leaving)
    mirror = region.reversed()
    assert mirror.reversed() == region
    listed = list_schedule(region)
    assert is_valid(steps, listed)
    assert region.peak(listed) == mirror.peak(backwards(listed))
    assert is_valid(steps, backwards(list_schedule(mirror)))
    forth, _ = beam_search(region, enough=0, width=1_000)
    back, _ = beam_search(mirror, enough=0, width=1_000)
    assert is_valid(steps, forth)
    assert is_valid(steps, backwards(back))
    assert region.bound <= region.peak(forth) == mirror.peak(back) <= region.peak(listed)


def test_finishes_one_branch_before_the_next() -> None:
    """Two branches blow up and shrink again; given breadth first, both are blown up at once."""
    branches = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)]
    steps, sizes = graph(branches, [1, 100, 100, 1, 1, 1])
    assert live_peak(steps, sizes, range(6)) == 201
    found = order(steps, sizes)
    assert found in ([0, 1, 3, 2, 4, 5], [0, 2, 4, 1, 3, 5])
    assert live_peak(steps, sizes, found) == 102


def test_every_stretch_that_sets_the_peak_is_reordered() -> None:
    """Two such pairs of branches in a row: when the higher one is lowered, the other is the peak."""
    first = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)]
    edges = [*first, *((a + 5, b + 5) for a, b in first)]
    steps, sizes = graph(edges, [1, 100, 100, 1, 1, 1, 90, 90, 1, 1, 1])
    assert live_peak(steps, sizes, order(steps, sizes)) == 102


def test_list_scheduling_frees_memory_as_soon_as_it_can() -> None:
    steps, sizes = graph([(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)], [1, 101, 100, 5, 5, 1])
    assert list_schedule(region_of(steps, sizes, 0, 0)) == [0, 2, 4, 1, 3, 5]


def test_a_narrow_beam_looks_over_a_hill() -> None:
    """The chain that begins with more memory leaves less alive in the end, so it goes first."""
    high, low = [(0, 1), (1, 2), (2, 6)], [(0, 3), (3, 4), (4, 5), (5, 6)]
    steps, sizes = graph([*high, *low], [0, 50, 1, 20, 30, 20, 0])
    region = region_of(steps, sizes, 0, 0)
    found, _ = beam_search(region, enough=51, width=1)
    assert region.peak(found) == least_peak(steps, sizes) == 51


def test_a_side_branch_is_not_cut_off() -> None:
    """Step 1 can wait until the memory of steps 2 and 3 is free again, though all later steps need step 2."""
    steps, sizes = graph([(0, 1), (0, 2), (2, 3), (3, 4), (1, 5), (4, 5)], [1, 50, 30, 30, 1, 1])
    assert live_peak(steps, sizes, range(6)) == 110
    assert live_peak(steps, sizes, order(steps, sizes)) == least_peak(steps, sizes) == 61


def test_a_side_output_is_not_cut_off() -> None:
    """The same with a step that only an output waits for: it can wait until the first buffer is free again."""
    steps, sizes = graph([(0, 1), (1, 2), (1, 3), (3, 4), (0, 4), (4, 5)], [100, 1, 50, 1, 1, 1])
    steps.append(Step(frozenset({2}), frozenset({2})))
    assert live_peak(steps, sizes, range(7)) == 152
    assert live_peak(steps, sizes, order(steps, sizes)) == least_peak(steps, sizes) == 103


def test_keeps_the_given_order_if_it_is_as_good() -> None:
    steps, sizes = graph([(0, 1), (0, 2), (1, 3), (2, 3)], [4, 4, 4, 4])
    assert order(steps, sizes) == [0, 1, 2, 3]
    assert order([], {}) == []
    assert order([Step(frozenset(), frozenset())], {}) == [0]


def test_a_step_without_followers_runs_as_soon_as_it_can() -> None:
    """An output written late would keep its source alive."""
    chain = [(i, i + 1) for i in range(9)]
    steps, sizes = graph(chain, [10] * 10)
    steps.append(Step(frozenset({2}), frozenset({2})))
    assert live_peak(steps, sizes, range(11)) == 30
    found = order(steps, sizes)
    assert live_peak(steps, sizes, found) == 20
    assert found.index(10) in (3, 4)


@pytest.mark.parametrize(("after", "number"), [({1}, 1), ({5}, 1), ({-1}, 1)])
def test_a_step_cannot_follow_itself_or_a_later_one(after: set[int], number: int) -> None:
    steps = [Step(frozenset(), frozenset()), Step(frozenset(after), frozenset())]
    with pytest.raises(InvalidIR, match=f"step {number} cannot follow"):
        order(steps, {})


def test_the_same_graph_gets_the_same_order_in_every_process() -> None:
    """Names whose hashes differ between processes must not matter."""
    code = (
        "from glowpy.program.scheduling import Step, order\n"
        "after = [{a for a in (i * 7 % 11 - 3, i - 5, i * 5 % 13) if 0 <= a < i} for i in range(60)]\n"
        "steps = [Step(frozenset(a), frozenset(f'v{b}' for b in {i, *a})) for i, a in enumerate(after)]\n"
        "print(order(steps, {f'v{i}': i * 37 % 19 for i in range(60)}))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1


def parallel_chains(count: int, length: int) -> tuple[list[Step], Sizes]:
    """Given breadth first, between one step that feeds all chains and one that joins them."""
    last = count * length + 1
    edges = [(max(0, i - count) if i > count else 0, i) for i in range(1, last)]
    edges += [(last - 1 - i, last) for i in range(count)]
    return graph(edges, [(7 * i // count + i) % 13 + 1 for i in range(last + 1)])


@pytest.mark.parametrize(
    ("steps", "sizes"),
    [
        pytest.param(*graph([(i, i + 1) for i in range(9_999)], [i % 7 for i in range(10_000)]), id="chain"),
        pytest.param(*parallel_chains(100, 100), id="parallel"),
        pytest.param(*random_graph(10_000, 3.0, 1), id="tangle"),
    ],
)
def test_ten_thousand_steps_take_seconds(steps: list[Step], sizes: Sizes) -> None:
    started = time.process_time()
    found = order(steps, sizes)
    assert time.process_time() - started < 6  # about 1 on an idle core
    assert is_valid(steps, found)
    assert live_peak(steps, sizes, found) <= live_peak(steps, sizes, range(len(steps)))
