"""Kernels over rows, softmax and what normalisations have in common, against the operators' definitions."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, run
from cpu.test_convolution import residual_relu

from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.kernels.softmax import softmax
from glowpy_backends.cpu.kernels.standardize import standardize
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.normalization import Standardize
from glowpy_ir.ops.softmax import LogSoftmax, Softmax
from glowpy_ir.types import TensorType

RowOperator = Softmax | LogSoftmax | Standardize


def kernel_of(op: RowOperator, result: View, operand: View, epilogue: Epilogue, target: Target) -> Kernel:
    if isinstance(op, Standardize):
        return standardize(op, result, operand, epilogue, target)
    return softmax(op, result, operand, epilogue, target)


def view(array: Array) -> View:
    return View(TensorType.of(array).kind, array.shape, tuple(s // array.itemsize for s in array.strides))


def check(op: RowOperator, x: Array, target: Target, fused: bool = False) -> None:
    """Of any strides; the result's dimensions lie as the operand's."""
    expected = apply(op, x)[0]
    y = np.empty_like(x, order="K")
    y[...] = np.nan
    operands = [y, x]
    epilogue = Epilogue()
    if fused:
        extra = np.random.default_rng(1).standard_normal(x.shape[-1]).astype(x.dtype)
        expected = np.maximum(expected + extra, 0)
        epilogue = Epilogue((view(np.broadcast_to(extra, x.shape)),), residual_relu)
        operands.append(extra)
    run(kernel_of(op, view(y), view(x), epilogue, target), target, operands, calls=2)
    eps = {2: 1e-3, 4: 2e-6, 8: 1e-14}[x.itemsize]
    np.testing.assert_allclose(y, expected, rtol=8 * eps, atol=4 * eps)


def operators(rank: int) -> list[RowOperator]:
    """Each operator along each axis, or along several."""
    one: list[RowOperator] = [kind(axis) for kind in (Softmax, LogSoftmax) for axis in range(rank)]
    sets = [(rank - 1,), tuple(range(1, rank)), tuple(range(rank)), (0,), (0, rank - 1), ()]
    return [*one, *(Standardize(tuple(sorted(set(axes))), 1e-3, len(axes) % 2 == 0) for axes in sets)]


SHAPES = [(5,), (3, 70), (2, 5, 7), (2, 3, 5, 33), (1, 1)]


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_along_every_axis(shape: tuple[int, ...], target: Target) -> None:
    x = (np.random.default_rng(0).standard_normal(shape) * 3 + 1).astype(np.float32)
    for op in operators(len(shape)):
        check(op, x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0), (0, 2, 1)])
def test_any_order_of_dimensions(order: tuple[int, ...], target: Target) -> None:
    x = np.random.default_rng(0).standard_normal((3, 5, 18)).astype(np.float32).transpose(order)
    for op in operators(3):
        check(op, x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_gaps_steps_and_repetitions(target: Target) -> None:
    x = np.random.default_rng(0).standard_normal((6, 40, 3)).astype(np.float32)
    for part in (x[::2, :37], x[:, ::-2], np.broadcast_to(x[:1], x.shape)):
        for op in (Softmax(1), Standardize((1,)), Standardize((0, 1), centered=False)):
            expected = apply(op, part)[0]
            y = np.full(part.shape, np.nan, np.float32)
            run(kernel_of(op, view(y), view(part), Epilogue(), target), target, [y, part])
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats(dtype: type[np.floating], target: Target) -> None:
    x = np.random.default_rng(0).standard_normal((4, 35)).astype(dtype)
    for op in operators(2):
        check(op, x, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_epilogue(target: Target) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 21)).astype(np.float32)
    for op in operators(3):
        check(op, x, target, fused=True)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_extreme_numbers(target: Target) -> None:
    x = np.zeros((6, 19), np.float32)
    x[1] = np.linspace(-200, 200, 19)
    x[2, 3] = np.nan
    x[3, 18] = np.inf
    x[4] = -np.inf
    x[5, :5] = -np.inf
    for op in (Softmax(1), LogSoftmax(1), Softmax(0)):
        y = np.zeros_like(x)
        with np.errstate(invalid="ignore"):
            expected = apply(op, x)[0]
        run(kernel_of(op, view(y), view(x), Epilogue(), target), target, [y, x])
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-30)


def test_nothing_is_done_for_no_elements() -> None:
    dense = View.dense(TensorType.of(np.zeros(1, np.float32)).kind, (3, 0))
    assert softmax(Softmax(1), dense, dense, Epilogue(), TARGETS[0]).units == 0
