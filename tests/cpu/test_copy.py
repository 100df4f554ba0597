"""Copies between tensors that lie anyhow, against NumPy's strided arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, aligned, run
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from glowpy_backends.cpu.kernels.copy import copy
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.types import Kind

KINDS = {1: Kind.U8, 2: Kind.I16, 4: Kind.F32, 8: Kind.I64}


@dataclass
class Lying:
    """A tensor somewhere inside a piece of memory."""

    view: View
    memory: Array
    first: int

    @classmethod
    def of(cls, kind: Kind, shape: tuple[int, ...], strides: tuple[int, ...]) -> Lying:
        reach = [(n - 1) * s for n, s in zip(shape, strides, strict=True) if n]
        below = -sum(r for r in reach if r < 0) + 3
        memory = aligned(below + sum(r for r in reach if r > 0) + 4, kind, 7)
        return cls(View(kind, shape, strides), memory, below)

    @property
    def array(self) -> Array:
        size = self.view.kind.nbytes
        return as_strided(self.memory[self.first :], self.view.shape, [s * size for s in self.view.strides])


def check(size: int, shape: tuple[int, ...], to: tuple[int, ...], source: tuple[int, ...], target: Target) -> None:
    kind = KINDS[size]
    result, operand = Lying.of(kind, shape, to), Lying.of(kind, shape, source)
    operand.memory[:] = np.random.default_rng(0).integers(0, 100, operand.memory.size)
    expected = Lying(result.view, result.memory.copy(), result.first)
    expected.array[...] = operand.array
    places = [result.memory[result.first :], operand.memory[operand.first :]]
    run(copy(result.view, operand.view, target), target, places, calls=3)
    np.testing.assert_array_equal(result.memory, expected.memory)


def dense(shape: tuple[int, ...], order: tuple[int, ...], gap: int = 0) -> tuple[int, ...]:
    """Strides of a tensor whose dimensions lie in this order, outermost first, with gaps between rows."""
    strides, size = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = size
        size = size * shape[d] + gap
    return tuple(strides)


EXTENTS = [1, 3, 4, 7, 16, 17, 40]


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("size", KINDS)
def test_matrices_are_transposed(size: int, target: Target) -> None:
    for height, width in [*zip(EXTENTS, EXTENTS, strict=True), *zip(EXTENTS, reversed(EXTENTS), strict=True)]:
        check(size, (height, width), dense((height, width), (0, 1), 1), dense((height, width), (1, 0), 2), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("step", [1, 0, -1, 2, -2, 3, 4, -4, 5])
def test_rows(step: int, target: Target) -> None:
    for size, width in product(KINDS, (1, 5, 16, 31, 70)):
        check(size, (3, width), (width + 1, 1), (width * max(1, abs(step)), step), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("gap", [2, 3, 5, 6, 7])
def test_small_rows_that_are_no_whole_number_of_rows_apart(gap: int, target: Target) -> None:
    """Two or four elements are moved as one, which other rows do not start at a multiple of."""
    for size in (1, 2, 4):
        for few in (2, 4):
            if few <= gap:
                check(size, (37, few), (few, 1), (gap, 1), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_results_with_gaps(target: Target) -> None:
    check(4, (5, 37), (37 * 3, 3), (37, 1), target)
    check(4, (5, 37), (37 * 3, -3), (1, 5), target)
    check(2, (5, 37), (-40, -1), (1, -5), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    ("shape", "size"), [((300, 200), 4), ((40, 1000, 3), 1), ((70000,), 2), ((2, 3, 16, 31, 33), 4)], ids=str
)
def test_what_takes_several_units(shape: tuple[int, ...], size: int, target: Target) -> None:
    rank = len(shape)
    assert copy(View.dense(KINDS[size], shape), View.dense(KINDS[size], shape), target).units > 1
    check(size, shape, dense(shape, tuple(range(rank))), dense(shape, tuple(reversed(range(rank)))), target)
    check(size, shape, dense(shape, tuple(range(rank)), 2), dense(shape, (*range(1, rank), 0)), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_nothing_is_copied(target: Target) -> None:
    check(4, (3, 0, 5), (0, 5, 1), (5, 5, 1), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_one_element(target: Target) -> None:
    check(8, (), (), (), target)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_tensor(data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(TARGETS))
    shape = tuple(data.draw(st.lists(st.integers(1, 19), min_size=1, max_size=4)))
    ranks = st.permutations(range(len(shape)))
    gaps = st.integers(0, 3)
    signs = st.lists(st.sampled_from((1, -1)), min_size=len(shape), max_size=len(shape))
    to = dense(shape, tuple(data.draw(ranks)), data.draw(gaps))
    source = dense(shape, tuple(data.draw(ranks)), data.draw(gaps))
    to = tuple(s * sign for s, sign in zip(to, data.draw(signs), strict=True))
    factors = data.draw(st.lists(st.sampled_from((1, 1, -1, 0, 2)), min_size=len(shape), max_size=len(shape)))
    source = tuple(s * factor for s, factor in zip(source, factors, strict=True))
    check(data.draw(st.sampled_from(tuple(KINDS))), shape, to, source, target)
