"""Pooling kernels compute what the operators mean, on blocked and on plain images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, block_channels, run, unblock_channels

from glowpy_backends.cpu.builder import Builder, Ssa
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.pooling import pool
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.types import Array, Kind, TensorType

Op = MaxPool | AveragePool


def plane(kernel: int, stride: int = 1, before: int = 0, after: int = 0, dilation: int = 1) -> MaxPool:
    """Square windows on a plane."""
    return MaxPool((kernel,) * 2, (stride,) * 2, (before,) * 2, (after,) * 2, (dilation,) * 2)


def mean(op: MaxPool, include_pad: bool = False, overhang: tuple[int, ...] = ()) -> AveragePool:
    """The mean under the same windows."""
    return AveragePool(op.kernel, op.strides, op.before, op.after, op.dilations, include_pad, overhang)


PLANES: list[tuple[Op, tuple[int, int]]] = [
    (plane(2, 2), (8, 70)),
    (plane(3, 2, 1, 1), (11, 37)),
    (plane(3, 2), (7, 7)),
    (plane(3, 1, 1, 1), (5, 19)),
    (plane(13, 1, 6, 6), (9, 13)),
    (plane(5, 1, 2, 2), (1, 1)),
    (plane(2, 3, 1, 0, 2), (9, 40)),
    (plane(3, 2, 0, 1), (6, 6)),
    (MaxPool((1, 7), (1, 3), (0, 2), (0, 5), (1, 1)), (3, 23)),
    (MaxPool((2, 1), (1, 1), (2, 0), (2, 0), (1, 1)), (2, 5)),  # windows that see nothing but padding
    (MaxPool((1, 41), (1, 2), (0, 30), (0, 29), (1, 3)), (2, 90)),  # taps in a loop
    (mean(plane(2, 2)), (6, 34)),
    (mean(MaxPool((2, 45), (1, 3), (1, 40), (0, 44), (1, 1))), (3, 50)),
    (mean(MaxPool((1, 200), (1, 1), (0, 199), (0, 199), (1, 1)), True), (1, 70)),
    (mean(plane(3, 1, 1, 1)), (5, 21)),
    (mean(plane(3, 2, 1, 1), True), (7, 18)),
    (mean(plane(3, 2, 0, 1), True, (1, 1)), (6, 6)),
    (mean(plane(3, 2, 1, 2), False, (1, 1)), (8, 8)),
    (mean(plane(7, 1)), (7, 7)),
    (mean(plane(2, 1, 1, 1, 3)), (5, 33)),
]


def image(op: Op, *shape: int, kind: Kind = Kind.F32) -> Array:
    values = np.random.default_rng(len(shape)).integers(-99, 99, shape)
    return np.abs(values).astype(kind.dtype) if not kind.is_signed else values.astype(kind.dtype)


def expected(op: Op, x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return apply(op, x)[0]


def result_of(op: Op, x: Array) -> Array:
    (type,) = infer(op, TensorType.of(x))
    return np.full(type.extents, 77, x.dtype)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("op", "spatial"), PLANES, ids=str)
def test_blocked(op: Op, spatial: tuple[int, int], target: Target) -> None:
    lanes, channels = target.lanes(4), target.lanes(4) + 3
    x = image(op, 2, channels, *spatial)
    operand = Operand(block_channels(x, lanes), [(0, 0), (0, 0), (1, 2), (3, 1), (0, 0)], fill=np.inf)
    result = Operand(block_channels(result_of(op, x), lanes), [(0, 0), (0, 1), (1, 0), (2, 3), (0, 0)], fill=5)
    run(pool(op, result.view, operand.view, Epilogue(), target), target, [result, operand], calls=3)
    np.testing.assert_allclose(unblock_channels(result.array, channels), expected(op, x), rtol=1e-6)
    assert result.margin_is(5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("op", "spatial"), PLANES, ids=str)
def test_plain(op: Op, spatial: tuple[int, int], target: Target) -> None:
    x = image(op, 2, 3, *spatial)
    operand = Operand(x, [(0, 0), (0, 0), (1, 2), (3, 1)], fill=np.inf)
    result = Operand(result_of(op, x), [(0, 0), (0, 1), (1, 0), (2, 3)], fill=5)
    run(pool(op, result.view, operand.view, Epilogue(), target), target, [result, operand], calls=3)
    np.testing.assert_allclose(result.array, expected(op, x), rtol=1e-6)
    assert result.margin_is(5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    ("op", "spatial"),
    [
        (MaxPool((3,), (2,), (1,), (1,), (1,)), (45,)),
        (AveragePool((4,), (4,), (0,), (0,), (1,)), (67,)),
        (MaxPool((3, 2, 2), (2, 1, 2), (1, 0, 1), (1, 1, 0), (1, 2, 1)), (5, 6, 19)),
        (AveragePool((2, 3, 3), (1, 2, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), True), (3, 7, 18)),
        (AveragePool((5, 3, 3), (1, 2, 1), (2, 1, 1), (2, 1, 1), (1, 1, 1)), (4, 7, 18)),
    ],
    ids=str,
)
def test_other_ranks(op: Op, spatial: tuple[int, ...], target: Target) -> None:
    x = image(op, 2, 3, *spatial)
    operand, result = Operand(x), Operand(result_of(op, x))
    run(pool(op, result.view, operand.view, Epilogue(), target), target, [result, operand], calls=2)
    np.testing.assert_allclose(result.array, expected(op, x), rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("kind", [Kind.F64, Kind.I8, Kind.U8, Kind.I32, Kind.U64], ids=lambda kind: kind.value)
def test_other_kinds(kind: Kind, target: Target) -> None:
    x = image(PLANES[1][0], 1, 2, 9, 45, kind=kind)
    op = plane(3, 2, 1, 1)
    operand, result = Operand(x), Operand(result_of(op, x))
    run(pool(op, result.view, operand.view, Epilogue(), target), target, [result, operand])
    np.testing.assert_array_equal(result.array, expected(op, x))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("kind", "rounding"), [(Kind.F16, 2**-11), (Kind.BF16, 2**-8)], ids=["f16", "bf16"])
@pytest.mark.parametrize("op", [plane(3, 2, 1, 1), mean(plane(3, 1, 1, 1))], ids=["max", "mean"])
def test_half_precision_is_computed_in_single(op: Op, kind: Kind, rounding: float, target: Target) -> None:
    x = (image(op, 1, 2, 9, 45) * 97).astype(kind.dtype)
    operand, result = Operand(x), Operand(result_of(op, x))
    run(pool(op, result.view, operand.view, Epilogue(), target), target, [result, operand])
    exact = expected(op, x.astype(np.float64))
    np.testing.assert_allclose(result.array.astype(np.float64), exact, rtol=rounding)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_nan_is_the_largest(target: Target) -> None:
    op = plane(3, 1, 1, 1)
    x = image(op, 1, 2, 6, 21)
    x[0, 0, 2, 7] = x[0, 1, 5, 20] = x[0, 1, 0, 0] = np.nan
    operand, result = Operand(x), Operand(result_of(op, x))
    run(pool(op, result.view, operand.view, Epilogue(), target), target, [result, operand])
    np.testing.assert_array_equal(result.array, expected(op, x))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_strided_image(target: Target) -> None:
    op = plane(3, 2, 1, 1)
    x = image(op, 1, 2, 9, 21)
    operand, result = Operand(x.transpose(0, 1, 3, 2).copy()), Operand(result_of(op, x))
    turned = View(Kind.F32, x.shape, tuple(operand.view.strides[d] for d in (0, 1, 3, 2)))
    run(pool(op, result.view, turned, Epilogue(), target), target, [result, operand])
    np.testing.assert_array_equal(result.array, expected(op, x))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("blocked", [False, True])
def test_epilogue(blocked: bool, target: Target) -> None:
    op, lanes = mean(plane(2, 2)), target.lanes(4)

    def sum_of_both(b: Builder, values: list[Ssa]) -> Ssa:
        return b.op("fadd", values[0], values[1])

    x = image(op, 1, lanes * 2, 6, 38)
    more = image(op, 1, lanes * 2, 3, 19) * 3

    def lying(array: Array) -> Operand:
        return Operand(block_channels(array, lanes) if blocked else array)

    operand, extra, result = lying(x), lying(more), lying(result_of(op, x))
    epilogue = replace(Epilogue(), operands=(extra.view,), apply=sum_of_both)
    run(pool(op, result.view, operand.view, epilogue, target), target, [result, operand, extra])
    array = unblock_channels(result.array, lanes * 2) if blocked else result.array
    np.testing.assert_allclose(array, expected(op, x) + more, rtol=1e-6)
