"""The kernel for images that are not blocked computes what the operator means: any rank, kind and layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run

from glowpy_backends.cpu.builder import Builder, Ssa
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.plain_convolution import plain_convolution
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.types import Array, Kind

Case = tuple[Conv, tuple[int, ...], tuple[int, ...]]


def numbers(shape: tuple[int, ...], kind: Kind = Kind.F32) -> Array:
    """Small whole ones, so that sums are exact."""
    return np.random.default_rng(len(shape)).integers(-3, 4, shape).astype(kind.dtype)


def square(stride: int = 1, pad: int = 0, dilation: int = 1, groups: int = 1) -> Conv:
    return Conv((stride,) * 2, (pad,) * 2, (pad,) * 2, (dilation,) * 2, groups)


CASES: list[Case] = [
    (square(), (1, 1, 1, 1), (1, 1, 1, 1)),
    (square(1, 1), (2, 3, 5, 37), (7, 3, 3, 3)),
    (square(2, 3), (1, 3, 17, 70), (6, 3, 7, 7)),
    (square(2), (1, 5, 8, 9), (13, 5, 1, 1)),
    (square(3, 1, 2), (1, 2, 9, 40), (3, 2, 2, 3)),
    (square(1, 1, 1, 4), (1, 8, 6, 19), (12, 2, 3, 3)),
    (square(1, 1, 1, 5), (2, 5, 4, 21), (5, 1, 3, 3)),
    (Conv((1, 2), (2, 0), (0, 5), (1, 3)), (1, 2, 4, 23), (100, 2, 3, 4)),
    (Conv((4,), (3,), (1,), (1,)), (2, 2, 101), (5, 2, 15)),
    (Conv((1,), (8,), (8,), (2,)), (1, 2, 45), (200, 2, 13)),
    (Conv((2, 1, 1), (1, 0, 1), (1, 2, 0), (1, 2, 1)), (1, 2, 5, 6, 18), (4, 2, 3, 2, 2)),
    (square(1, 4), (1, 1, 2, 2), (2, 1, 3, 3)),  # some windows see nothing but padding
]


def check(case: Case, target: Target, kind: Kind = Kind.F32) -> None:
    op, image, weights = case
    x, w = numbers(image, kind), numbers(weights, kind)
    bias = numbers(weights[:1], kind)
    (expected,) = apply(op, x, w, bias)
    operand, factors = Operand(x, [(1, 2)] * x.ndim, fill=99), Operand(w, [(0, 1)] * w.ndim, fill=99)
    result = Operand(np.zeros_like(expected), [(2, 1)] * x.ndim, fill=5)
    start = Operand(bias.reshape(1, -1, *(1 for _ in image[2:])))
    epilogue = replace(Epilogue(), start=start.broadcast(expected.shape))
    kernel = plain_convolution(op, result.view, operand.view, factors.view, epilogue, target)
    run(kernel, target, [result, operand, factors, start], calls=3)
    np.testing.assert_array_equal(result.array.astype(np.float64), expected.astype(np.float64))
    assert result.margin_is(5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_rank(case: Case, target: Target) -> None:
    check(case, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("kind", [Kind.F64, Kind.I32, Kind.I64], ids=str)
def test_other_kinds(kind: Kind, target: Target) -> None:
    check(CASES[1], target, kind)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16], ids=str)
def test_half_precision(kind: Kind, target: Target) -> None:
    for case in CASES[:2]:
        check(case, target, kind)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_turned_operands(target: Target) -> None:
    op, (n, c, height, width), (m, _, ky, kx) = CASES[1]
    image, weights = Operand(numbers((n, height, width, c))), Operand(numbers((ky, kx, c, m)))
    x, w = image.array.transpose(0, 3, 1, 2), weights.array.transpose(3, 2, 0, 1)
    views = (
        View(Kind.F32, x.shape, tuple(image.view.strides[d] for d in (0, 3, 1, 2))),
        View(Kind.F32, w.shape, tuple(weights.view.strides[d] for d in (3, 2, 0, 1))),
    )
    (expected,) = apply(op, x, w)
    result = Operand(np.zeros_like(expected))
    run(plain_convolution(op, result.view, *views, Epilogue(), target), target, [result, image, weights])
    np.testing.assert_array_equal(result.array, expected)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_epilogue(target: Target) -> None:
    def times(b: Builder, values: list[Ssa]) -> Ssa:
        return b.op("fmul", values[0], values[1])

    op, image, weights = CASES[1]
    x, w = Operand(numbers(image)), Operand(numbers(weights))
    (total,) = apply(op, x.array, w.array)
    factor, result = Operand(numbers(total.shape)), Operand(np.zeros_like(total))
    epilogue = replace(Epilogue(), operands=(factor.view,), apply=times)
    kernel = plain_convolution(op, result.view, x.view, w.view, epilogue, target)
    run(kernel, target, [result, x, w, factor])
    np.testing.assert_array_equal(result.array, total * factor.array)
