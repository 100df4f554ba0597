"""Repetition and resampling against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.types import Kind, TensorType


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 1, 3), (1, 4, 1)])
def test_repeat(factors: tuple[int, ...]) -> None:
    input = np.arange(24).reshape(2, 3, 4)
    expected = input
    for axis, factor in enumerate(factors):
        expected = np.repeat(expected, factor, axis)
    (result,) = apply(Repeat(factors), input)
    np.testing.assert_array_equal(result, expected)
    height = symbol("h")
    (type,) = infer(Repeat(factors), TensorType(Kind.F32, (1, height, 1)))
    assert type.shape == (factors[0], height * factors[1], factors[2])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.uint8])
@pytest.mark.parametrize("axes", [(2, 3), (0,), (1, 3)])
def test_resample_is_a_matrix_product_for_each_axis(axes: tuple[int, ...], dtype: type[np.generic]) -> None:
    random = np.random.default_rng(0)
    input = random.integers(0, 50, (2, 3, 4, 5)).astype(dtype)
    expected = input.astype(np.float64)
    tables = []
    for axis in axes:
        indices = random.integers(0, input.shape[axis], (7, 2)).astype(np.int32)
        weights = random.random((7, 2)).astype(np.float32)
        matrix = np.zeros((7, input.shape[axis]))
        for row, (at, factors) in enumerate(zip(indices, weights, strict=True)):
            np.add.at(matrix[row], at, factors)
        expected = np.moveaxis(np.moveaxis(expected, axis, -1) @ matrix.T, -1, axis)
        tables += [indices, weights]
    op = Resample(axes)
    (result,) = apply(op, input, *tables)
    assert infer(op, *map(TensorType.of, (input, *tables))) == (TensorType.of(result),)
    tolerance = {"f": 1e-6, "e": 1e-3, "d": 1e-6}.get(result.dtype.char, 0)
    expected = np.rint(expected) if result.dtype.kind == "u" else expected
    np.testing.assert_allclose(result, expected, rtol=tolerance)


def test_tables_that_do_not_fit_are_refused() -> None:
    image = TensorType.parse("f32[1,3,4,5]")
    indices, weights = TensorType.parse("i32[7,2]"), TensorType.parse("f32[7,2]")
    for axes, tables in [((4,), (indices, weights)), ((3, 2), (indices, weights) * 2), ((2,), (indices, weights) * 2)]:
        with pytest.raises(TypeMismatch, match="must exist, ascend"):
            infer(Resample(axes), image, *tables)
    with pytest.raises(TypeMismatch, match="tables of axis 2"):
        infer(Resample((2,)), image, indices, TensorType.parse("f32[7,3]"))
    with pytest.raises(TypeMismatch, match="a positive factor"):
        infer(Repeat((1, 2)), image)
