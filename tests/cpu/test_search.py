"""The search kernel finds what the operators mean, along any axis of tensors that lie anyhow."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run

from glowpy_backends.cpu.kernels.search import search
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.reduction import ArgMax, ArgMin
from glowpy_ir.types import Array, Kind

OPERATORS = [ArgMax, ArgMin]


def check(op: ArgMax | ArgMin, x: Array, target: Target) -> None:
    (expected,) = apply(op, x)
    operand = Operand(x, [(1, 2)] * x.ndim, fill=100)
    result = Operand(np.zeros_like(expected), [(2, 1)] * expected.ndim, fill=5)
    run(search(op, result.view, operand.view, target), target, [result, operand], calls=2)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(5)


def few(shape: tuple[int, ...], kind: Kind = Kind.F32) -> Array:
    """Few different numbers, so that some are equal."""
    least = -2 if kind.is_signed else 0
    return np.random.default_rng(0).integers(least, 3, shape).astype(kind.dtype)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1,), 0), ((67,), 0), ((3, 5), 1), ((3, 37), 0), ((3, 37), 1), ((2, 5, 3), 1), ((4, 3, 1), 1), ((2, 16, 3), 1)],
    ids=str,
)
def test_along_any_axis(
    shape: tuple[int, ...], axis: int, last: bool, operator: type[ArgMax | ArgMin], target: Target
) -> None:
    for keepdims in (False, True):
        check(operator(axis, keepdims, last), few(shape), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("kind", [Kind.F64, Kind.I64, Kind.U64, Kind.I32, Kind.I16, Kind.U8, Kind.I8], ids=str)
def test_every_kind(kind: Kind, operator: type[ArgMax | ArgMin], target: Target) -> None:
    x = few((5, 83), kind)
    if not kind.is_float:
        x[1, 40], x[3, 70] = kind.limits
    for axis in (0, 1):
        check(operator(axis), x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_half_precision(operator: type[ArgMax | ArgMin], kind: Kind, target: Target) -> None:
    for axis in (0, 1):
        check(operator(axis), few((5, 83), kind), target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("last", [False, True])
def test_nan_prevails(last: bool, operator: type[ArgMax | ArgMin], target: Target) -> None:
    x = few((7, 70))
    x[2, 3] = x[2, 50] = x[5, 50] = x[6, 0] = x[0, 69] = np.nan
    for axis in (0, 1):
        check(operator(axis, True, last), x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turned_operand(axis: int, target: Target) -> None:
    x = Operand(few((19, 5, 33)))
    turned = View(Kind.F32, (33, 5, 19), tuple(x.view.strides[d] for d in (2, 1, 0)))
    (expected,) = apply(ArgMax(axis), x.array.transpose(2, 1, 0))
    result = Operand(np.zeros_like(expected))
    run(search(ArgMax(axis), result.view, turned, target), target, [result, x])
    np.testing.assert_array_equal(result.array, expected)
