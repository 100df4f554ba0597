"""Placement: every arena is valid, small ones are optimal, and hard ones stay near the bound.

Tried by planting each fault (all are caught, the first test that fails is named):

- `pack` treats ranges that meet at one section as apart (`first < end - 1`): test_no_two_live_ranges_share_a_byte;
- `place` forgets to align sizes: test_offsets_are_aligned;
- `Blocks.loads` frees a block one section too late: test_live_peak_is_the_largest_sum_in_use;
- the exact search gives up at `>=` instead of `>` the limit: test_exact_search_finds_the_optimum;
- `_climb` ignores its limit: test_climbing_improves_on_every_greedy_order.
"""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glowpy.program.exact_placement import search
from glowpy.program.placement import LiveRange, Placement, place
from glowpy.program.skyline import ORDERS, Blocks, pack
from glowpy_ir.errors import InvalidIR, Unsupported

Triples = list[tuple[int, int, int]]

NO_LIMIT = 2**62

# Ten blocks with a live peak of 7 that no arena of 7 can hold.
GAP: Triples = [
    (6, 8, 2), (5, 7, 2), (3, 7, 3), (7, 8, 4), (0, 4, 3), (7, 8, 1), (3, 6, 1), (0, 3, 4), (4, 6, 1), (4, 5, 2),
]  # fmt: skip


def ranges_of(triples: Triples, scale: int = 1) -> list[LiveRange]:
    """Live ranges named by number, from (start, end, size)."""
    return [LiveRange(i, size * scale, start, end) for i, (start, end, size) in enumerate(triples)]


def blocks_of(triples: Triples) -> Blocks:
    return Blocks.of([(start, end) for start, end, _ in triples], [size for *_, size in triples])


def overlaps(ranges: list[LiveRange], placement: Placement) -> list[tuple[LiveRange, LiveRange]]:
    """Pairs that are in use at one step and share a byte."""
    at = placement.offsets
    return [
        (a, b)
        for a, b in combinations(ranges, 2)
        if a.start < b.end and b.start < a.end  # in time
        if at[a.name] < at[b.name] + b.size and at[b.name] < at[a.name] + a.size  # in space
        if a.size and b.size
    ]


def live_peak(ranges: list[LiveRange], alignment: int) -> int:
    """By the definition, step by step."""
    aligned = {r.name: -(-r.size // alignment) * alignment for r in ranges}
    return max((sum(aligned[s.name] for s in ranges if s.start <= r.start < s.end) for r in ranges), default=0)


def fits(triples: Triples, height: int) -> bool:
    """Whether an arena of `height` can hold the blocks: every offset is tried for every block."""
    placed: list[tuple[int, int, int, int]] = []

    def extend(rest: Triples) -> bool:
        if not rest:
            return True
        start, end, size = rest[0]
        for offset in range(height - size + 1):
            if all(end <= s or e <= start or offset + size <= o or o + z <= offset for s, e, z, o in placed):
                placed.append((start, end, size, offset))
                if extend(rest[1:]):
                    return True
                placed.pop()
        return False

    return extend(sorted(triples))


def smallest_arena(triples: Triples) -> int:
    """By brute force, independent of all that the placement assumes."""
    height = live_peak(ranges_of(triples), 1)
    while not fits(triples, height):
        height += 1
    return height


@st.composite
def triples(draw: st.DrawFn, most: int = 40, steps: int = 30, size: int = 300) -> Triples:
    """(start, end, size) with sizes that repeat, ranges that touch, coincide and lie within others."""
    sizes = draw(st.lists(st.integers(1, size), min_size=1, max_size=4))
    result = []
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, steps - 1))
        result.append((start, draw(st.integers(start + 1, steps)), draw(st.sampled_from(sizes))))
    return result


@st.composite
def full_strips(draw: st.DrawFn) -> Triples:
    """Blocks that leave little of a narrow strip free, so that the optimum can lie above the live peak."""
    height, steps = draw(st.integers(3, 7)), draw(st.integers(4, 9))
    load = [0] * steps
    result = []
    for _ in range(draw(st.integers(5, 16))):
        start = draw(st.integers(0, steps - 1))
        end = min(steps, start + draw(st.integers(1, 4)))
        room = height - max(load[start:end])
        if room > 0:
            size = draw(st.integers(1, min(room, 4)))
            result.append((start, end, size))
            load[start:end] = [held + size for held in load[start:end]]
    return result


@given(triples())
def test_no_two_live_ranges_share_a_byte(drawn: Triples) -> None:
    ranges = ranges_of(drawn)
    assert overlaps(ranges, place(ranges)) == []


@given(triples(), st.sampled_from([1, 3, 16, 64, 4096]))
def test_offsets_are_aligned(drawn: Triples, alignment: int) -> None:
    ranges = ranges_of(drawn)
    placement = place(ranges, alignment)
    assert placement.offsets.keys() == {r.name for r in ranges}
    assert all(offset >= 0 and offset % alignment == 0 for offset in placement.offsets.values())
    ends = (placement.offsets[r.name] + -(-r.size // alignment) * alignment for r in ranges)
    assert placement.size == max(ends, default=0)


@given(triples(), st.sampled_from([1, 64]))
def test_live_peak_is_the_largest_sum_in_use(drawn: Triples, alignment: int) -> None:
    placement = place(ranges_of(drawn), alignment)
    assert placement.live_peak == live_peak(ranges_of(drawn), alignment)
    assert placement.size >= placement.live_peak
    assert placement.ratio >= 1


@given(full_strips())
@settings(max_examples=200, deadline=None)
def test_small_cases_are_optimal(drawn: Triples) -> None:
    assert place(ranges_of(drawn), alignment=1).size == smallest_arena(drawn)


@given(full_strips())
@settings(max_examples=200, deadline=None)
def test_exact_search_finds_the_optimum(drawn: Triples) -> None:
    blocks, optimum = blocks_of(drawn), smallest_arena(drawn)
    for beat in (NO_LIMIT, optimum + 1):
        found = search(blocks, beat, steps=100_000)
        assert found.optimal
        assert found.offsets is not None
        assert blocks.top(found.offsets) == optimum
    nothing = search(blocks, beat=optimum, steps=100_000)
    assert nothing.optimal
    assert nothing.offsets is None


def test_an_optimum_above_the_live_peak_is_proved() -> None:
    assert live_peak(ranges_of(GAP), 1) == 7
    assert smallest_arena(GAP) == 8
    assert place(ranges_of(GAP), alignment=1).size == 8
    assert search(blocks_of(GAP), beat=8, steps=100_000).optimal


def test_a_search_cut_short_does_not_claim_a_proof() -> None:
    outcome = search(blocks_of(GAP), beat=8, steps=5)
    assert outcome.offsets is None
    assert not outcome.optimal


def first_fit_by_start(ranges: list[LiveRange]) -> int:
    """What an allocator that cannot see the future does: the arena's size."""
    at: dict[object, int] = {}
    for r in sorted(ranges, key=lambda r: r.start):
        offset = 0
        for other in sorted((o for o in ranges if o.name in at and o.end > r.start), key=lambda o: at[o.name]):
            if at[other.name] - offset >= r.size:
                break
            offset = max(offset, at[other.name] + other.size)
        at[r.name] = offset
    return max(at[r.name] + r.size for r in ranges)


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param([(0, 2, 1), (1, 4, 1), (3, 6, 2)], id="a small buffer dies below one that stays"),
        pytest.param([(0, 3, 4), (2, 5, 1), (4, 7, 4), (6, 9, 2), (8, 11, 5)], id="growing chain"),
        pytest.param(
            [(i, i + 2 + i % 2 * 6, 1 + i % 3) for i in range(24)] + [(24, 26, 9)], id="long among short, then big"
        ),
    ],
)
def test_reaches_the_live_peak_where_first_fit_fails(drawn: Triples) -> None:
    ranges = ranges_of(drawn, scale=64)
    placement = place(ranges)
    assert first_fit_by_start(ranges) > placement.live_peak
    assert placement.size == placement.live_peak


def hard(count: int, seed: int) -> Triples:
    """A full strip cut into `count` blocks at most: it is known to fit in 1024."""
    random = np.random.default_rng(seed)
    pieces = [(0, 200, 1024)]
    while len(pieces) < count:
        start, end, size = pieces.pop(int(random.integers(len(pieces))))
        if random.random() < 0.5 and end - start > 1:
            cut = int(random.integers(start + 1, end))
            pieces += [(start, cut, size), (cut, end, size)]
        elif size > 1:
            cut = int(random.integers(1, size))
            pieces += [(start, end, cut), (start, end, size - cut)]
        else:
            pieces.append((start, end, size))
    return pieces


@pytest.mark.parametrize("seed", range(3))
def test_climbing_improves_on_every_greedy_order(seed: int) -> None:
    """On strips without any gap, where no order succeeds alone."""
    drawn = hard(120, seed)
    blocks = blocks_of(drawn)
    greedy = [pack(blocks, order(blocks), NO_LIMIT) for order in ORDERS]
    size = place(ranges_of(drawn), alignment=1).size
    assert 1024 <= size < min(blocks.top(packing) for packing in greedy if packing is not None)
    assert size <= 1.15 * 1024


def test_pack_gives_up_above_its_limit() -> None:
    blocks = blocks_of([(0, 1, 5), (0, 1, 5)])
    order = np.array([0, 1])
    assert pack(blocks, order, limit=9) is None
    assert pack(blocks, order, limit=10) is not None


def test_ranges_that_never_meet_share_one_address() -> None:
    placement = place([LiveRange(i, 100 + i, i, i + 1) for i in range(50)])
    assert set(placement.offsets.values()) == {0}
    assert placement.size == 192


def test_identical_ranges_are_stacked() -> None:
    placement = place([LiveRange(i, 64, 3, 9) for i in range(50)])
    assert sorted(placement.offsets.values()) == [64 * i for i in range(50)]


def test_ranges_of_size_zero_take_no_room() -> None:
    placement = place([LiveRange("nothing", 0, 0, 5), LiveRange("a", 64, 0, 5)])
    assert placement == Placement({"nothing": 0, "a": 0}, 64, 64)


def test_nothing_to_place() -> None:
    assert place([]) == Placement({}, 0, 0)
    assert place([]).ratio == 1.0


def test_sizes_and_steps_may_be_huge() -> None:
    placement = place([LiveRange("a", 2**61, -(2**70), 2**70), LiveRange("b", 2**61, 0, 2**80)])
    assert sorted(placement.offsets.values()) == [0, 2**61]


@pytest.mark.parametrize(
    ("ranges", "alignment", "message"),
    [
        ([LiveRange("a", 1, 4, 4)], 64, "'a' is empty: it starts at 4 and ends at 4"),
        ([LiveRange("a", -1, 0, 1)], 64, "'a' has the negative size -1"),
        ([LiveRange("a", 1, 0, 1), LiveRange("a", 1, 1, 2)], 64, "two live ranges have the name 'a'"),
        ([], 0, "alignment must be a positive number of bytes, not 0"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(ranges: list[LiveRange], alignment: int, message: str) -> None:
    with pytest.raises(InvalidIR, match=message):
        place(ranges, alignment)


def test_an_arena_beyond_all_addresses_is_refused() -> None:
    with pytest.raises(Unsupported, match="add up to 13835058055282163712 bytes"):
        place([LiveRange(i, 2**62, 0, 1) for i in range(3)])


def test_the_same_ranges_get_the_same_offsets_in_every_process() -> None:
    """Names whose hashes differ between processes must not matter."""
    code = (
        "from glowpy.program.placement import LiveRange, place\n"
        f"triples = {hard(90, 7)!r}\n"
        "ranges = [LiveRange(f'v{i}', z, s, e) for i, (s, e, z) in enumerate(triples)]\n"
        "print(sorted(place(ranges, 1).offsets.items()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("count", "lifetime", "seconds"), [(2_000, 10, 2.0), (10_000, 10, 8.0), (4_000, 1_000, 8.0)])
def test_large_programs_are_placed_in_seconds(count: int, lifetime: int, seconds: float) -> None:
    random = np.random.default_rng(1)
    starts = random.integers(0, count, count).tolist()
    ends = [start + 1 + int(length) for start, length in zip(starts, random.exponential(lifetime, count), strict=True)]
    sizes = random.integers(1, 100_000, count).tolist()
    ranges = [LiveRange(i, *row) for i, row in enumerate(zip(sizes, starts, ends, strict=True))]
    started = time.process_time()
    placement = place(ranges)
    assert time.process_time() - started < seconds
    assert placement.ratio < 1.1
