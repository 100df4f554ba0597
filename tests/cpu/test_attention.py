"""Fused attention against its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, Operand, run

from glowpy_backends.cpu.body import Body
from glowpy_backends.cpu.builder import Builder, Ssa
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.attention import Attention, attention
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.fused import Step
from glowpy_ir.ops.logic import Equal, Select
from glowpy_ir.types import Kind

SIZES = [(1, 1, 1, 1), (16, 16, 16, 16), (17, 5, 3, 2), (37, 53, 7, 5), (97, 130, 33, 17), (128, 19, 400, 70)]
"""Rows, keys, depth, width of the values"""

NUMBERS = Body((Step(Equal(), (0, 0)), Step(Splat(0.0, Kind.F32), ()), Step(Select(), (1, 0, 2))), (Kind.F32,))
"""Zeros for NaN."""


def add(b: Builder, values: list[Ssa]) -> Ssa:
    return b.op("fadd", *values)


def softmax(scores: Array) -> Array:
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def check(
    query: Array, key: Array, value: Array, target: Target, mask: Array | None = None, numbers: bool = False
) -> None:
    """Operands of any strides lie in memory as the arrays do, NaN around them."""
    scores = np.matmul(query.astype(np.float64), key)
    weights = softmax(scores if mask is None else scores + mask)
    expected = np.matmul(np.nan_to_num(weights) if numbers else weights, value)
    operands = [lying(array, scores.shape[:-2]) for array in (query, key, value)]
    result = Operand(np.full(expected.shape, np.nan, np.float32), [(0, 0)] * (expected.ndim - 1) + [(1, 2)], 7)
    (q, q_view), (k, k_view), (v, v_view) = operands
    extra = [] if mask is None else [Operand(mask)]
    before = Epilogue(tuple(operand.broadcast(scores.shape) for operand in extra), add) if extra else Epilogue()
    spec = Attention(result.view, q_view, k_view, v_view, before, Epilogue((), NUMBERS) if numbers else Epilogue())
    kernel = attention(spec, target)
    for calls in (1, min(3, kernel.units)):
        run(kernel, target, [result, q, k, *extra, v], calls)
        np.testing.assert_allclose(result.array, expected, rtol=1e-5, atol=2e-5)
        assert result.margin_is(7)


def lying(array: Array, batch: tuple[int, ...]) -> tuple[Operand, View]:
    """The array in memory in the order of its strides, and its view with these leading dimensions."""
    order = sorted(range(array.ndim), key=lambda d: -array.strides[d])
    operand = Operand(array.transpose(order), [(0, 0)] * (array.ndim - 1) + [(2, 1)], np.nan)
    strides = [0] * array.ndim
    for position, d in enumerate(order):
        strides[d] = operand.view.strides[position]
    view = View(operand.view.kind, array.shape, tuple(strides))
    return operand, view.expand((*batch, *array.shape[-2:]))


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("rows", "keys", "depth", "width"), SIZES)
def test_sizes(rows: int, keys: int, depth: int, width: int, target: Target) -> None:
    query = random(2, rows, depth) / np.float32(depth**0.5)
    check(query, random(2, depth, keys), random(2, keys, width), target, random(rows, keys))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_heads_side_by_side(target: Target) -> None:
    """As projections write them: ``[batch, row, head, depth]``."""
    query, key, value = (random(2, 35, 3, size).transpose(0, 2, 1, 3) for size in (8, 8, 5))
    check(query, np.swapaxes(key, -1, -2), value, target, random(2, 1, 1, 35))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("rows", "depth"), [(16, 16), (35, 7), (199, 33)])
def test_channels_first(rows: int, depth: int, target: Target) -> None:
    """As convolutions write them: ``[batch, depth, row]``."""
    query, key, value = (np.swapaxes(random(2, depth, length), 1, 2) for length in (rows, 35, 35))
    check(query / np.float32(depth**0.5), np.swapaxes(key, 1, 2), value, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_shared_keys_and_values(target: Target) -> None:
    check(random(2, 3, 4, 20, 8), random(2, 3, 1, 8, 33), random(2, 3, 1, 33, 9), target)
    check(random(2, 3, 20, 8), random(2, 3, 8, 33), random(1, 1, 33, 9), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_rows_of_which_all_is_masked(target: Target) -> None:
    mask = np.where(np.tri(21, 40, 3, dtype=bool), np.float32(0), np.float32(-np.inf))
    mask[7] = -np.inf
    check(random(21, 8), random(8, 40), random(40, 9), target, mask, numbers=True)
    mask[7] = -3e38
    check(random(21, 8), random(8, 40), random(40, 9), target, mask)


def test_many_keys_in_blocks_of_few_rows() -> None:
    target = TARGETS[0]
    check(random(50, 3), random(3, 5000), random(5000, 2), target)


def test_equal_sites_share_a_kernel() -> None:
    view = View.dense(Kind.F32, (16, 16))
    spec = Attention(view, view, view, view, Epilogue(), Epilogue())
    assert attention(spec, TARGETS[0]) == attention(replace(spec), TARGETS[0])
