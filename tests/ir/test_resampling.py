"""Repetition and resampling against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.types import Kind, TensorType


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 1, 3), (1, 4, 1)])
def test_repeat(factors: tuple[int, ...]) -> None:
    input = np.arange(24).reshape(2, 3, 4)
    (result,) = apply(Repeat(factors), input)
    places = np.ix_(*(np.arange(n * f) // f for n, f in zip(input.shape, factors, strict=True)))
    np.testing.assert_array_equal(result, input[places])
    assert infer(Repeat(factors), TensorType.of(input)) == (TensorType.of(result),)
    height = symbol("h")
    (type,) = infer(Repeat(factors), TensorType(Kind.F32, (1, height, 1)))
    assert type.shape == (factors[0], height * factors[1], factors[2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 2, 3])
def test_resample_is_a_matrix_product_along_its_axis(axis: int, dtype: type[np.generic]) -> None:
    random = np.random.default_rng(0)
    input = random.standard_normal((2, 3, 4, 5)).astype(dtype)
    indices = random.integers(0, input.shape[axis], (7, 2)).astype(np.int32)
    weights = random.random((7, 2)).astype(np.float32)
    matrix = np.zeros((7, input.shape[axis]))
    for row, (at, factors) in enumerate(zip(indices, weights, strict=True)):
        np.add.at(matrix[row], at, factors)
    (result,) = apply(Resample(axis), input, indices, weights)
    assert infer(Resample(axis), *map(TensorType.of, (input, indices, weights))) == (TensorType.of(result),)
    expected = np.moveaxis(np.moveaxis(input, axis, -1) @ matrix.T, -1, axis)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (Resample(4), ["f32[1,3,4,5]", "i32[7,2]", "f32[7,2]"], "has no axis 4"),
        (Resample(2), ["f32[1,3,4,5]", "i32[7,2]", "f32[7,3]"], "takes tables"),
        (Resample(2), ["f32[1,3,4,5]", "i64[7,2]", "f32[7,2]"], "takes tables"),
        (Resample(2), ["u8[1,3,4,5]", "i32[7,2]", "f32[7,2]"], "takes elements of"),
        (Repeat((1, 2)), ["f32[1,3,4,5]"], "a positive factor"),
        (Repeat((1, 0)), ["f32[1,3]"], "a positive factor"),
    ],
)
def test_operands_that_do_not_fit_are_refused(op: Op, operands: list[str], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *map(TensorType.parse, operands))
