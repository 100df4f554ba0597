"""Gathering and scattering kernels do what the operators mean, for tensors that lie anyhow."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run

from glowpy_backends.cpu.kernels.indexing import gather, scatter
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.indexing import Gather, GatherND, ScatterND, Update
from glowpy_ir.types import Array, Kind


def numbers(shape: tuple[int, ...], kind: Kind = Kind.F32) -> Array:
    return np.random.default_rng(0).integers(0, 5, shape).astype(kind.dtype)


def tuples(shape: tuple[int, ...], extents: tuple[int, ...], dtype: type[np.generic] = np.int64) -> Array:
    """Index tuples ``[*shape, len(extents)]``; some count from the end."""
    random = np.random.default_rng(1)
    return np.stack([random.integers(-n, n, shape) for n in extents], axis=-1).astype(dtype)


def check_gather(op: Gather | GatherND, x: Array, indices: Array, target: Target) -> None:
    (expected,) = apply(op, x, indices)
    operand = Operand(x, [(1, 2)] * x.ndim, fill=9)
    table = Operand(indices, [(0, 1)] * indices.ndim, fill=77)
    result = Operand(np.zeros_like(expected), [(2, 1)] * expected.ndim, fill=1)
    run(gather(op, result.view, operand.view, table.view, target), target, [result, operand, table], calls=2)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(1)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    ("shape", "axis", "picked"),
    [
        ((7,), 0, ()),
        ((7,), 0, (5,)),
        ((5, 67), 0, (2, 3)),
        ((5, 67), 1, (9,)),
        ((2, 3, 4, 5, 16), 3, (7,)),
        ((2, 3, 4, 5), 2, (2, 2)),
        ((2, 3), 0, (0,)),
        ((4, 1), 1, (3,)),
    ],
    ids=str,
)
def test_gather(shape: tuple[int, ...], axis: int, picked: tuple[int, ...], target: Target) -> None:
    for dtype in (np.int64, np.int32):
        indices = tuples(picked, (shape[axis],), dtype)[..., 0]
        check_gather(Gather(axis), numbers(shape), indices, target)


@pytest.mark.parametrize("kind", [Kind.F64, Kind.F16, Kind.I64, Kind.U8, Kind.BOOL], ids=str)
def test_gather_every_kind(kind: Kind) -> None:
    for axis in (0, 1):
        check_gather(Gather(axis), numbers((5, 83), kind), np.array([3, -1, 0]), TARGETS[0])


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    ("shape", "batch", "picked", "depth"),
    [((5, 6, 21), 0, (4,), 2), ((5, 6, 21), 0, (2, 3), 3), ((5, 6, 21), 1, (5, 2), 1), ((3, 4, 5, 6), 2, (3, 4), 1)],
    ids=str,
)
def test_gather_tuples(
    shape: tuple[int, ...], batch: int, picked: tuple[int, ...], depth: int, target: Target
) -> None:
    check_gather(GatherND(batch), numbers(shape), tuples(picked, shape[batch : batch + depth]), target)


def test_turned_operand() -> None:
    x = Operand(numbers((19, 5, 33)))
    turned = View(Kind.F32, (33, 5, 19), tuple(x.view.strides[d] for d in (2, 1, 0)))
    indices = Operand(np.array([2, 4, 1]))
    for axis in range(3):
        (expected,) = apply(Gather(axis), x.array.transpose(2, 1, 0), indices.array)
        result = Operand(np.zeros_like(expected))
        run(gather(Gather(axis), result.view, turned, indices.view, TARGETS[0]), TARGETS[0], [result, x, indices])
        np.testing.assert_array_equal(result.array, expected)


def test_what_is_outside_is_moved_inside() -> None:
    x = Operand(numbers((4, 3)))
    indices = Operand(np.array([4, -5, 2**40, -(2**40)]))
    result = Operand(np.zeros((4, 3), np.float32))
    run(gather(Gather(0), result.view, x.view, indices.view, TARGETS[0]), TARGETS[0], [result, x, indices])
    np.testing.assert_array_equal(result.array, x.array[[3, 0, 3, 0]])


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("update", list(Update))
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("shape", "picked", "depth"),
    [((7,), (5,), 1), ((5, 83), (9,), 1), ((5, 83), (4, 3), 2), ((5, 4, 3), (2, 3), 2), ((5, 4), (0,), 1)],
    ids=str,
)
def test_scatter(
    shape: tuple[int, ...], picked: tuple[int, ...], depth: int, in_place: bool, update: Update, target: Target
) -> None:
    x, indices = numbers(shape), tuples(picked, shape[:depth])
    changes = np.random.default_rng(2).integers(-3, 8, (*picked, *shape[depth:])).astype(np.float32)
    check_scatter(ScatterND(update), x, indices, changes, in_place, target)


@pytest.mark.parametrize("kind", [Kind.F64, Kind.F16, Kind.BF16, Kind.I64, Kind.U8], ids=str)
@pytest.mark.parametrize("update", list(Update))
def test_scatter_every_kind(update: Update, kind: Kind) -> None:
    indices = tuples((6,), (5,))
    changes = np.random.default_rng(2).integers(0, 4, (6, 83)).astype(kind.dtype)
    check_scatter(ScatterND(update), numbers((5, 83), kind), indices, changes, False, TARGETS[0])


def check_scatter(
    op: ScatterND, x: Array, indices: Array, changes: Array, in_place: bool, target: Target
) -> None:
    (expected,) = apply(op, x, indices, changes)
    operand = Operand(x, [(1, 2)] * x.ndim, fill=1)
    table, updates = Operand(indices), Operand(changes, [(0, 2)] * changes.ndim)
    result = operand if in_place else Operand(np.zeros_like(x), [(2, 1)] * x.ndim, fill=1)
    views = (result.view, operand.view, table.view, updates.view)
    run(scatter(op, *views, target), target, [result, operand, table, updates])
    np.testing.assert_array_equal(result.array.astype(np.float64), expected.astype(np.float64))
    assert result.margin_is(1)
