"""Compiled states that tokens write to compute what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS
from cpu.whole import agree

from glowpy_backends.cpu.target import Target
from glowpy_ir.ops.attention import CacheUpdate, LinearAttention
from glowpy_ir.types import Array

RNG = np.random.default_rng(5)
NAMES = {512: "avx512", 256: "avx2", 128: "sse2"}


def random(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32) / 2


def walk(
    heads: int, shared: int, depth: int, width: int, tokens: int, decays: bool, corrects: bool, by_row: bool
) -> tuple[LinearAttention, list[Array]]:
    """The operator and operands for it."""
    rows = -np.abs(random(2, tokens, shared * (depth if by_row else 1)))
    rates = np.abs(random(2, tokens, 1 if by_row else shared))
    packed = [random(2, tokens, n) for n in (heads * depth, shared * depth, shared * width)]
    gates = [rows] * decays + [rates] * corrects
    op = LinearAttention(heads, shared, 0.3, decays, corrects)
    return op, [*packed, random(2, shared, depth, width), *gates]


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("extents", [(4, 4, 8, 8, 4), (6, 2, 5, 19, 3), (4, 1, 16, 33, 1), (4, 2, 3, 5, 0)])
def test_linear_attention(extents: tuple[int, int, int, int, int], target: Target, tmp_path: Path) -> None:
    rules = ((False, False, False), (True, False, True), (False, True, True), (True, True, False))
    for decays, corrects, by_row in rules:
        op, operands = walk(*extents, decays, corrects, by_row)
        agree(op, *operands, target=NAMES[target.vector_bits], cache=tmp_path)


def test_halves_with_a_state_in_float32() -> None:
    op, operands = walk(4, 2, 6, 9, 5, True, True, True)
    halves = [x if i == 3 else x.astype(np.float16) for i, x in enumerate(operands)]
    agree(op, *halves, tolerance=2e-3)


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize(("axis", "count"), [(1, 4), (2, 3), (3, 1)])
def test_cache_update(axis: int, count: int, circular: bool) -> None:
    cache = random(3, 4, 7, 5)
    update = np.take(cache, range(count), axis) + 1
    start = RNG.integers(0, 2 * cache.shape[axis] if circular else cache.shape[axis] - count + 1, 3)
    agree(CacheUpdate(axis, circular), cache, update, start)
    agree(CacheUpdate(axis, circular), cache, update)
