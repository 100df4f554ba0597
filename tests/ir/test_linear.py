"""Matrix products and Einstein's notation against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.ops.einsum import Einsum
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.types import Kind, TensorType

Array = NDArray[Any]


@pytest.mark.parametrize(
    ("lhs", "rhs"),
    [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 1, 2, 3), (5, 3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 3))],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.uint64])
def test_matrix_product(lhs: tuple[int, ...], rhs: tuple[int, ...], dtype: type[np.generic]) -> None:
    random = np.random.default_rng(0)
    a, b = (random.integers(0, 9, shape).astype(dtype) for shape in (lhs, rhs))
    (result,) = apply(MatMul(), a, b)
    assert infer(MatMul(), TensorType.of(a), TensorType.of(b)) == (TensorType.of(result),)
    np.testing.assert_array_equal(result, np.matmul(a, b))


@pytest.mark.parametrize("lhs", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize("rhs", [np.uint8, np.int8, np.int16])
def test_products_of_narrow_integers_are_summed_as_i32(lhs: type[np.generic], rhs: type[np.generic]) -> None:
    random = np.random.default_rng(0)
    info = [np.iinfo(dtype) for dtype in (lhs, rhs)]
    a, b = (random.integers(i.min, i.max, (300, 300), i.dtype, endpoint=True) for i in info)
    (result,) = apply(MatMul(), a, b)
    assert infer(MatMul(), TensorType.of(a), TensorType.of(b)) == (TensorType.of(result),)
    np.testing.assert_array_equal(result, a.astype(np.int32) @ b.astype(np.int32))


def test_matrix_product_of_unknown_extents() -> None:
    n = symbol("n")
    (result,) = infer(MatMul(), TensorType(Kind.F32, (n, 7, 3)), TensorType(Kind.F32, (3, n)))
    assert result.shape == (n, 7, n)


@pytest.mark.parametrize(
    ("lhs", "rhs", "message"),
    [
        ("f32[2,3]", "f32[2,3]", "not as many as the rows"),
        ("f32[3]", "f32[3,2]", "takes matrices"),
        ("f32[2,3]", "f64[3,2]", "kinds differ"),
        ("f32[2,2,3]", "f32[3,3,2]", "do not broadcast"),
        ("bool[2,3]", "bool[3,2]", "takes elements of"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(lhs: str, rhs: str, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(MatMul(), TensorType.parse(lhs), TensorType.parse(rhs))


@st.composite
def notations(draw: st.DrawFn) -> tuple[Einsum, list[Array]]:
    """Up to three operands of up to four labels; some dimensions of one stand for wider ones."""
    extents = [2, 3, 1, 4, 5]
    term = st.lists(st.integers(0, 4), max_size=4).filter(lambda labels: max(map(labels.count, labels), default=0) < 3)
    terms = [tuple(draw(term)) for _ in range(draw(st.integers(1, 3)))]
    used = sorted({label for labels in terms for label in labels})
    result = tuple(draw(st.permutations(used))[: draw(st.integers(0, len(used)))])
    random = np.random.default_rng(draw(st.integers(0, 9)))
    arrays = []
    for labels in terms:
        narrow = [draw(st.integers(0, 9)) == 0 and labels.count(label) == 1 for label in labels]
        shape = [1 if one else extents[label] for label, one in zip(labels, narrow, strict=True)]
        arrays.append(random.integers(-4, 5, shape).astype(np.float32))
    return Einsum(tuple(terms), result), arrays


@settings(max_examples=200)
@given(notations())
def test_einstein_notation(case: tuple[Einsum, list[Array]]) -> None:
    op, arrays = case
    (result,) = apply(op, *arrays)
    assert infer(op, *map(TensorType.of, arrays)) == (TensorType.of(result),)
    text = ",".join("".join("abcde"[label] for label in labels) for labels in op.terms)
    expected = np.einsum(f"{text}->{''.join('abcde'[label] for label in op.result)}", *arrays)
    if expected.shape == result.shape:  # NumPy leaves a result of one if every operand has one
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)
    else:
        np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), rtol=1e-5)


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (Einsum(((0, 1),), (0,)), ["f32[2]"], "2 dimensions"),
        (Einsum(((0, 1),), (2,)), ["f32[2,3]"], "must take its labels"),
        (Einsum(((0, 1),), (0, 0)), ["f32[2,3]"], "must take its labels"),
        (Einsum(((0,), (0,)), ()), ["f32[2]", "f32[3]"], "do not broadcast"),
        (Einsum(((0,), (0,)), ()), ["f32[2]"], "2 terms for 1"),
    ],
)
def test_notations_that_do_not_fit_are_refused(op: Einsum, operands: list[str], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *map(TensorType.parse, operands))
