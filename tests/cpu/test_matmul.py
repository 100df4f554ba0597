"""Matrix multiplication against NumPy's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, Operand, run
from cpu.test_convolution import residual_relu

from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.matmul import MatMul, matmul, merge_batch, pack_weights, tiling_of
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling
from glowpy_backends.cpu.view import View

SHAPES = [
    (1, 1, 1),
    (1, 33, 17),
    (1, 1000, 64),
    (2, 130, 7),
    (5, 16, 129),
    (37, 53, 70),
    (64, 64, 64),
    (128, 48, 200),
    (517, 20, 31),
    (3, 5, 600),
]
"""M, N, K"""


def transposed(view: View) -> View:
    """The view with its last two dimensions swapped."""
    *shape, rows, columns = view.shape
    *strides, per_row, per_column = view.strides
    return View(view.kind, (*shape, columns, rows), (*strides, per_column, per_row))


def check(
    left: Array,
    right: Array,
    target: Target,
    constant: bool = False,
    swap: tuple[bool, bool, bool] = (False, False, False),
    tiling: Tiling | None = None,
    fused: bool = False,
) -> None:
    """Compares a product; ``swap`` says which of left, right and result lie transposed in memory."""
    rng = np.random.default_rng(0)
    expected = np.matmul(left.astype(np.float64), right.astype(np.float64))
    shape = expected.shape

    def lying(array: Array, swapped: bool, fill: float) -> tuple[Operand, View]:
        array = np.swapaxes(array, -1, -2) if swapped else array
        operand = Operand(array, [(0, 0)] * (array.ndim - 1) + [(1, 3)], fill)
        return operand, transposed(operand.view) if swapped else operand.view

    def broadcast(view: View) -> View:
        lead = len(shape) - len(view.shape)
        strides = (*(0,) * lead, *view.strides)
        extents = (*(1,) * lead, *view.shape)
        wide = (*shape[:-2], *extents[-2:])
        return View(view.kind, wide, tuple(0 if e != w else s for s, e, w in zip(strides, extents, wide, strict=True)))

    poison = np.nan if left.dtype.kind == "f" else 1 << 20
    a, a_view = lying(left, swap[0], poison)
    c, c_view = lying(np.full(shape, poison, left.dtype), swap[2], 7)
    b, b_view = lying(right, swap[1], poison)
    extra: list[Operand] = []
    epilogue = Epilogue()
    if fused:
        bias, residual = (rng.standard_normal(s).astype(left.dtype) for s in (shape[-1:], shape))
        expected = np.maximum(expected + bias + residual, 0)
        extra = [Operand(bias), Operand(residual)]
        epilogue = Epilogue((extra[1].view,), residual_relu, extra[0].broadcast(shape))
    spec = MatMul(c_view, broadcast(a_view), broadcast(b_view), constant, epilogue)
    if constant:
        spec = merge_batch(spec)
    tiling = tiling or tiling_of(spec, target)
    weights: Operand | Array = pack_weights(right, spec, tiling, target) if constant else b
    run(matmul(spec, tiling, target), target, [c, a, weights, *extra], calls=3)
    got = np.swapaxes(c.array, -1, -2) if swap[2] else c.array
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))
    assert c.margin_is(7)


def operands(m: int, n: int, k: int, batch: tuple[int, ...] = (), dtype: type = np.float32) -> tuple[Array, Array]:
    rng = np.random.default_rng(m * n + k)
    return rng.standard_normal((*batch, m, k)).astype(dtype), rng.standard_normal((*batch, k, n)).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_constant_right_operands(shape: tuple[int, int, int], target: Target) -> None:
    check(*operands(*shape), target, constant=True)
    check(*operands(*shape), target, constant=True, fused=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_computed_right_operands(shape: tuple[int, int, int], target: Target) -> None:
    check(*operands(*shape), target, fused=True)
    check(*operands(*shape), target, swap=(False, True, False))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("swap", [(True, False, False), (False, False, True), (True, True, True)], ids=str)
def test_transposed_operands(swap: tuple[bool, bool, bool], target: Target) -> None:
    check(*operands(37, 53, 70), target, swap=swap)
    check(*operands(300, 21, 19), target, swap=swap)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_batches(target: Target) -> None:
    left, right = operands(19, 35, 23, (2, 3))
    check(left, right, target, fused=True)
    check(left, right, target, swap=(False, True, False))
    check(left, right[:, :1], target)
    check(left, right[0, 0], target)
    check(left[0], right, target)
    check(left, right, target, constant=True)
    check(left, right[:, :1], target, constant=True)
    check(left, right[0, 0], target, constant=True, fused=True)


TILINGS = [
    Tiling(5, 2, 16, k_block=1, prefetch_right=True, prefetch_left=True),
    Tiling(4, 3, 37, k_block=2, unroll=16, prefetch_right=True),
    Tiling(13, 1, 9, unroll=3),
]


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_tilings(tiling: Tiling, target: Target) -> None:
    check(*operands(37, 53, 70), target, constant=True, tiling=tiling, fused=True)
    check(*operands(37, 53, 70), target, swap=(False, True, False), tiling=replace(tiling, prefetch_right=False))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64])
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_other_kinds(dtype: type, target: Target) -> None:
    left, right = (np.round(x * 9).astype(dtype) for x in operands(11, 21, 13))
    check(left, right, target)
    check(left, right, target, constant=True)
    check(left, right, target, swap=(False, True, False))


def test_a_batch_with_one_right_operand_is_one_product() -> None:
    left, right, result = (
        View.dense(Operand(np.zeros(1, np.float32)).view.kind, s) for s in ((4, 5, 6), (4, 6, 7), (4, 5, 7))
    )
    shared = replace(right, strides=(0, 7, 1))
    assert merge_batch(MatMul(result, left, shared)).rows == 20
    assert merge_batch(MatMul(result, left, right)).rows == 5
    gap = replace(left, strides=(31, 6, 1))
    assert merge_batch(MatMul(result, gap, shared)).rows == 5
