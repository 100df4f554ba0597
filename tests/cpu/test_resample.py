"""The resampling kernel computes what the operator means, along any axis of tensors that lie anyhow."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run

from glowpy_backends.cpu.kernels.copy import copy
from glowpy_backends.cpu.kernels.resample import apart, resample
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.types import Array


def tables(extent: int, count: int, taps: int) -> tuple[Array, Array]:
    random = np.random.default_rng(count)
    return random.integers(0, extent, (count, taps)).astype(np.int32), random.random((count, taps)).astype(np.float32)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("taps", [1, 2, 4, 11])
@pytest.mark.parametrize(
    ("shape", "axis", "count"),
    [
        ((1, 3, 5, 7), 3, 14),
        ((1, 3, 5, 7), 2, 3),
        ((2, 2, 5, 3, 16), 3, 6),
        ((2, 2, 5, 3, 16), 2, 70),
        ((1, 1, 5, 131), 2, 2),
        ((7,), 0, 5),
        ((4, 6), 0, 1),
        ((11, 4), 1, 130),
    ],
    ids=str,
)
def test_any_axis(shape: tuple[int, ...], axis: int, count: int, taps: int, target: Target) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    check(x, axis, count, taps, target)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_double_precision(axis: int) -> None:
    check(np.random.default_rng(0).standard_normal((3, 5, 19)), axis, 8, 3, TARGETS[0])


def check(x: Array, axis: int, count: int, taps: int, target: Target) -> None:
    indices, weights = tables(x.shape[axis], count, taps)
    (expected,) = apply(Resample(axis), x, indices, weights)
    operand = Operand(x, [(2, 1)] * x.ndim, fill=np.nan)
    result = Operand(np.zeros_like(expected), [(1, 3)] * x.ndim, fill=5)
    rows = [Operand(indices), Operand(weights)]
    kernel = resample(axis, result.view, operand.view, [row.view for row in rows], target)
    run(kernel, target, [result, operand, *rows], calls=2)
    np.testing.assert_allclose(result.array, expected, rtol=1e-5, atol=1e-5)
    assert result.margin_is(5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turned_operand(axis: int, target: Target) -> None:
    x = Operand(np.random.default_rng(0).standard_normal((5, 7, 19)).astype(np.float32))
    turned = View(x.view.kind, (19, 7, 5), tuple(x.view.strides[d] for d in (2, 1, 0)))
    indices, weights = tables(turned.shape[axis], 9, 2)
    (expected,) = apply(Resample(axis), x.array.transpose(2, 1, 0), indices, weights)
    result, rows = Operand(np.zeros_like(expected)), [Operand(indices), Operand(weights)]
    run(resample(axis, result.view, turned, [r.view for r in rows], target), target, [result, x, *rows])
    np.testing.assert_allclose(result.array, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(
    ("shape", "factors"), [((1, 3, 5, 7), (1, 1, 2, 3)), ((1, 2, 5, 3, 16), (1, 1, 2, 2, 1)), ((7,), (1,))], ids=str
)
def test_repeat(shape: tuple[int, ...], factors: tuple[int, ...], dtype: type[np.generic], target: Target) -> None:
    x = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    (expected,) = apply(Repeat(factors), x)
    operand, result = Operand(x, [(2, 1)] * x.ndim), Operand(np.zeros_like(expected), [(1, 3)] * x.ndim, fill=5)
    run(copy(*apart(factors, result.view, operand.view), target), target, [result, operand], calls=2)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(5)
