"""Reduction kernels compute what the operators mean, along any dimensions of tensors that lie anyhow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run

from glowpy_backends.cpu.builder import Builder, Ssa
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.reduction import reduction
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.reduction import ReduceMax, ReduceMin, ReduceProd, ReduceSum, Reduction
from glowpy_ir.types import Array, Kind

OPERATORS = [ReduceSum, ReduceMax, ReduceMin, ReduceProd]

CASES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((37,), (0,)),
    ((1, 1), (1,)),
    ((3, 5, 129), (2,)),
    ((3, 5, 129), (0,)),
    ((3, 5, 7), (1,)),
    ((5, 67), (0,)),
    ((2, 3, 7, 7), (2, 3)),
    ((2, 2, 5, 9, 16), (2, 3)),
    ((3, 4, 2, 17), (0, 2)),
    ((3, 4, 2, 17), (1, 3)),
    ((3, 17, 1), (0, 1, 2)),
    ((4, 3), ()),
]


def numbers(shape: tuple[int, ...], kind: Kind = Kind.F32) -> Array:
    """Small ones, so that sums and products are exact."""
    values = np.random.default_rng(0).choice([1, 1, 1, 1, 1, 1, 1, 2, -1], shape)
    return (np.abs(values) if not kind.is_signed else values).astype(kind.dtype)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axes"), CASES, ids=str)
def test_along_any_axes(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool, target: Target) -> None:
    x = numbers(shape)
    for operator in OPERATORS[:2]:
        check(operator(axes, keepdims), x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64, Kind.I64, Kind.U32, Kind.U8, Kind.I8], ids=str)
def test_every_operator_and_kind(operator: type[Reduction], kind: Kind, target: Target) -> None:
    x = numbers((3, 41), kind)
    check(operator((1,)), x, target)
    check(operator((0,)), x, target)


def check(op: Reduction, x: Array, target: Target) -> None:
    (expected,) = apply(op, x)
    operand = Operand(x, [(1, 2)] * x.ndim, fill=77)
    result = Operand(np.full_like(expected, 3), [(2, 1)] * expected.ndim, fill=1)
    run(reduction(op, result.view, operand.view, Epilogue(), target), target, [result, operand], calls=2)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(1)


@pytest.mark.parametrize("operator", [ReduceMax, ReduceMin])
def test_truth_values(operator: type[Reduction]) -> None:
    x = np.array([[False, False, False], [True, False, True], [True, True, True]])
    check(operator((1,)), x, TARGETS[0])


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_half_precision_is_summed_in_single(axis: int, kind: Kind, target: Target) -> None:
    x = np.full((4096, 4096 if axis else 3), 0.25, kind.dtype)[: 3 if axis else None]
    op = ReduceSum((axis,))
    operand, result = Operand(x), Operand(apply(op, x)[0] * 0)
    run(reduction(op, result.view, operand.view, Epilogue(), target), target, [result, operand])
    assert (result.array == 1024).all()


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_nan_prevails(axes: tuple[int, ...], target: Target) -> None:
    x = numbers((19, 23))
    x[3, 7] = x[18, 22] = np.nan
    for operator in (ReduceMax, ReduceMin):
        check(operator(axes), x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2)])
def test_turned_and_repeated_operands(axes: tuple[int, ...], target: Target) -> None:
    op = ReduceSum(axes)
    x = Operand(numbers((5, 3, 35)))
    turned = View(Kind.F32, (35, 3, 5), tuple(x.view.strides[d] for d in (2, 1, 0)))
    repeated = View(Kind.F32, (5, 4, 35), (x.view.strides[0], 0, 1))
    for view, array in ((turned, x.array.transpose(2, 1, 0)), (repeated, np.broadcast_to(x.array[:, :1], (5, 4, 35)))):
        (expected,) = apply(op, array)
        result = Operand(np.zeros_like(expected))
        run(reduction(op, result.view, view, Epilogue(), target), target, [result, x])
        np.testing.assert_array_equal(result.array, expected)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axes"), [((3, 5, 70), (2,)), ((3, 5, 70), (1,)), ((2, 2, 4, 3, 16), (2, 3))])
def test_epilogue(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool, target: Target) -> None:
    def times(b: Builder, values: list[Ssa]) -> Ssa:
        return b.op("fmul", values[0], values[1])

    op = ReduceSum(axes, keepdims)
    x = numbers(shape)
    (total,) = apply(op, x)
    factor = np.arange(total.size, dtype=np.float32).reshape(total.shape)
    operand, extra, result = Operand(x), Operand(factor), Operand(np.zeros_like(total))
    epilogue = replace(Epilogue(), operands=(extra.view,), apply=times)
    run(reduction(op, result.view, operand.view, epilogue, target), target, [result, operand, extra])
    np.testing.assert_array_equal(result.array, total * factor)
