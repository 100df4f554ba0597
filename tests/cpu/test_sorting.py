"""The kernels for the first elements in order, for numbers in order and for running sums do what the operators mean."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run

from glowpy_backends.cpu.kernels.argmax_pool import argmax_pool
from glowpy_backends.cpu.kernels.counting import iota, running
from glowpy_backends.cpu.kernels.sorting import top_k
from glowpy_backends.cpu.target import Target
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.counting import Iota, Running, RunningProduct, RunningSum
from glowpy_ir.ops.pooling import ArgMaxPool
from glowpy_ir.ops.sorting import TopK
from glowpy_ir.types import Array, Kind


def few(shape: tuple[int, ...], kind: Kind = Kind.F32) -> Array:
    """Few different numbers, so that some are equal."""
    least = -3 if kind.is_signed else 0
    return np.random.default_rng(0).integers(least, 4, shape).astype(kind.dtype)


def check_top(op: TopK, x: Array, target: Target) -> None:
    expected = apply(op, x)
    operand = Operand(x, [(1, 2)] * x.ndim, fill=3)
    values, places = (Operand(np.zeros_like(array), [(2, 1)] * x.ndim, fill=1) for array in expected)
    run(top_k(op, values.view, places.view, operand.view, target), target, [values, places, operand], calls=2)
    np.testing.assert_array_equal(places.array, expected[1])
    np.testing.assert_array_equal(values.array.astype(np.float64), expected[0].astype(np.float64))
    assert values.margin_is(1)
    assert places.margin_is(1)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis", "count"),
    [
        ((1,), 0, 1),
        ((9,), 0, 9),
        ((9,), 0, 0),
        ((64,), 0, 31),
        ((64,), 0, 33),
        ((2, 1000), 1, 999),
        ((3, 50, 2), 1, 5),
        ((4, 3), 0, 4),
        ((2, 7), 1, 1),
    ],
    ids=str,
)
def test_first_in_order(shape: tuple[int, ...], axis: int, count: int, largest: bool, target: Target) -> None:
    check_top(TopK(axis, count, largest), few(shape), target)
    distinct = np.random.default_rng(1).permutation(int(np.prod(shape))).astype(np.float32).reshape(shape)
    for x in (distinct, np.sort(distinct, axis), -np.sort(distinct, axis)):
        check_top(TopK(axis, count, largest), x, target)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("kind", [Kind.F64, Kind.F16, Kind.BF16, Kind.I64, Kind.U8, Kind.I8], ids=str)
def test_first_of_every_kind(kind: Kind, largest: bool) -> None:
    x = few((2, 40), kind)
    if not kind.is_float:
        x[0, 30], x[1, 2] = kind.limits
    check_top(TopK(1, 11, largest), x, TARGETS[0])


@pytest.mark.parametrize("largest", [False, True])
def test_nan_is_the_largest(largest: bool) -> None:
    x = few((1, 20))
    x[0, [3, 17]] = np.nan
    for count in (1, 4, 20):
        check_top(TopK(1, count, largest), x, TARGETS[0])


@pytest.mark.parametrize("kind", [Kind.I64, Kind.I32, Kind.U8, Kind.F32, Kind.F64], ids=str)
@pytest.mark.parametrize("count", [0, 1, 100])
def test_numbers_in_order(count: int, kind: Kind) -> None:
    (expected,) = apply(Iota(count, kind))
    result = Operand(np.ones_like(expected))
    run(iota(result.view, TARGETS[0]), TARGETS[0], [result])
    np.testing.assert_array_equal(result.array, expected)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64, Kind.F16, Kind.BF16, Kind.I64, Kind.I32], ids=str)
@pytest.mark.parametrize("op", [RunningSum(0), RunningSum(1), RunningSum(2), RunningProduct(0)], ids=str)
def test_running(op: Running, kind: Kind) -> None:
    x = few((3, 4, 21), kind)
    (expected,) = apply(op, x)
    operand, result = Operand(x, [(1, 2)] * 3), Operand(np.zeros_like(expected), [(2, 1)] * 3)
    run(running(op, result.view, operand.view, TARGETS[0]), TARGETS[0], [result, operand], calls=2)
    np.testing.assert_array_equal(result.array.astype(np.float64), expected.astype(np.float64))


@pytest.mark.parametrize("column_major", [False, True])
@pytest.mark.parametrize(
    ("op", "spatial"),
    [
        (ArgMaxPool((3,), (2,), (1,), (1,), (1,)), (11,)),
        (ArgMaxPool((2, 3), (1, 2), (1, 0), (0, 2), (2, 1)), (5, 8)),
        (ArgMaxPool((2, 2), (1, 1), (3, 0), (3, 0), (1, 1)), (2, 3)),
        (ArgMaxPool((2, 1, 3), (2, 1, 1), (0, 0, 1), (1, 0, 1), (1, 1, 1)), (4, 3, 6)),
    ],
    ids=str,
)
def test_places_of_the_largest(op: ArgMaxPool, spatial: tuple[int, ...], column_major: bool) -> None:
    op = ArgMaxPool(op.kernel, op.strides, op.before, op.after, op.dilations, column_major)
    for kind in (Kind.F32, Kind.F16, Kind.I8, Kind.U8):
        x = few((2, 3, *spatial), kind)
        if kind is Kind.F32:
            x[0, 1, ..., 1] = np.nan
        (expected,) = apply(op, x)
        operand = Operand(x, [(1, 2)] * x.ndim, fill=99)
        result = Operand(np.zeros_like(expected), [(2, 1)] * x.ndim, fill=5)
        run(argmax_pool(op, result.view, operand.view, TARGETS[0]), TARGETS[0], [result, operand], calls=2)
        np.testing.assert_array_equal(result.array, expected)
        assert result.margin_is(5)
