"""The kernels that find what is not zero, boxes that are apart, the order of rows and keys do what operators mean."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run
from cpu.whole import agree

from glowpy_backends.cpu.kernels.lookup import find_key
from glowpy_backends.cpu.kernels.selection import non_zero, suppress_overlaps
from glowpy_backends.cpu.kernels.sorting import row_order
from glowpy_backends.cpu.target import Target
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.lookup import FindKey
from glowpy_ir.ops.selection import NonZero, SuppressOverlaps, Unique
from glowpy_ir.ops.sorting import RowOrder
from glowpy_ir.types import Array, Kind

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64, Kind.F16, Kind.BF16, Kind.I64, Kind.U8, Kind.BOOL], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (17,), (3, 5), (2, 3, 7), (4, 0, 2)], ids=str)
def test_places_not_zero(shape: tuple[int, ...], kind: Kind) -> None:
    x = (RNG.random(shape) < RNG.choice([0, 0.4, 1])).astype(kind.dtype)
    if kind is Kind.F32 and x.size:
        x.reshape(-1)[0] = np.nan
        x.reshape(-1)[-1] = -0.0
    expected = apply(NonZero(), x)
    operand = Operand(x, [(1, 2)] * x.ndim, fill=1)
    places = Operand(np.full_like(expected[0], 9), [(1, 1), (0, 2)], fill=5)
    count = Operand(np.full((), 9), fill=5)
    run(non_zero(places.view, count.view, operand.view, TARGETS[0]), TARGETS[0], [places, count, operand])
    np.testing.assert_array_equal(places.array, expected[0])
    assert count.array == expected[1]
    assert places.margin_is(5)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.F64, Kind.I8, Kind.U8, Kind.I64, Kind.BOOL], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (37, 1), (1025, 1), (50, 3), (5, 0)], ids=str)
def test_order_of_rows(shape: tuple[int, int], kind: Kind) -> None:
    x = RNG.integers(-2 if kind.is_signed else 0, 3, shape).astype(kind.dtype)
    if kind.is_float and x.size > 40:
        x[[3, 30], 0] = np.nan
    (expected,) = apply(RowOrder(), x)
    operand, result = Operand(x, [(1, 2)] * 2, fill=1), Operand(np.zeros(shape[0], np.int64), [(2, 1)], fill=5)
    run(row_order(result.view, operand.view, TARGETS[0]), TARGETS[0], [result, operand])
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("least", "overlap"), [(None, 0.3), (0.5, 0), (0.2, 1), (2, 0.5), (None, -1), (0.1, np.nan)])
@pytest.mark.parametrize(("n", "most"), [(1, 1), (19, 3), (101, 101), (5, 0)])
def test_boxes_apart(n: int, most: int, overlap: float, least: float | None, target: Target) -> None:
    corners = RNG.random((2, n, 2))
    boxes = np.concatenate((corners, corners + RNG.random((2, n, 2)) - 0.3), 2).astype(np.float32)
    scores = (RNG.integers(0, 20, (2, 3, n)) / 20).astype(np.float32)
    if n > 10:
        boxes[:, 7] = boxes[:, 5]
        boxes[0, 3] = np.nan
        scores[0, 0, [2, 9]] = np.nan
    given: list[Array] = [boxes, scores, np.array(overlap, np.float32)]
    given += [] if least is None else [np.array(least, np.float32)]
    (expected,) = apply(SuppressOverlaps(most), *given)
    operands = [Operand(array, [(1, 2)] * array.ndim, fill=3) for array in given]
    result = Operand(np.zeros_like(expected), [(2, 1)] * 3, fill=5)
    kernel = suppress_overlaps(result.view, operands[0].view, operands[1].view, least is not None, target)
    run(kernel, target, [result, *operands], calls=2)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(5)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.F64, Kind.I8, Kind.U8, Kind.I64, Kind.U64], ids=str)
@pytest.mark.parametrize(("shape", "count"), [((1,), 1), ((), 2), ((7, 19), 5), ((3, 2, 11), 8), ((0, 4), 3)])
def test_keys_are_found(shape: tuple[int, ...], count: int, kind: Kind) -> None:
    least = -10 if kind.is_signed else 0
    x = np.asarray(RNG.integers(least, 10, shape)).astype(kind.dtype)
    keys = np.sort(RNG.permutation(np.arange(least, 10))[:count]).astype(kind.dtype)
    if kind.is_float and x.size > 20:
        x.reshape(-1)[[3, 20]] = np.nan
        keys[-1] = np.nan
    (expected,) = apply(FindKey(), x, keys)
    operand, table = Operand(x, [(1, 2)] * x.ndim, fill=1), Operand(keys, [(1, 1)])
    result = Operand(np.zeros_like(expected), [(2, 1)] * x.ndim, fill=5)
    kernel = find_key(result.view, operand.view, table.view, TARGETS[0])
    run(kernel, TARGETS[0], [result, operand, table], calls=2)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(5)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("shape", [(0, 2), (5, 0), (1, 1), (31, 2)], ids=str)
def test_rows_once(shape: tuple[int, int], in_order: bool) -> None:
    agree(Unique(in_order), RNG.integers(0, 3, shape).astype(np.float32))
