"""ONNX's matrix products mean what the standard says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, node_cases, node_model, run_model

from glowpy.onnx.operators import linear
from glowpy.onnx.operators.linear import parse_equation
from glowpy_ir.errors import BadModel, Findings
from glowpy_ir.ops.einsum import Einsum


@pytest.mark.parametrize("case", node_cases(*{name for name, _ in linear.LOADERS}), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@pytest.mark.parametrize(
    ("lhs", "rhs"),
    [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 1, 4, 3), (5, 3, 2))],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.float16])
def test_product_of_vectors_and_stacks(lhs: tuple[int, ...], rhs: tuple[int, ...], dtype: type[np.generic]) -> None:
    random = np.random.default_rng(0)
    inputs = {name: random.integers(-5, 5, shape).astype(dtype) for name, shape in (("a", lhs), ("b", rhs))}
    agree_with_reference("MatMul", dict(inputs), 13)


@settings(max_examples=60, deadline=None)
@given(
    opset=st.sampled_from([7, 11, 13]),
    extents=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    trans=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    alpha=st.sampled_from([1.0, 0.5, 0.0]),
    beta=st.sampled_from([1.0, -2.0, 0.0]),
    addend=st.sampled_from(["none", "scalar", "row", "column", "matrix"]),
)
def test_gemm(
    opset: int, extents: tuple[int, int, int], trans: tuple[int, int], alpha: float, beta: float, addend: str
) -> None:
    m, n, k = extents
    random = np.random.default_rng(0)
    shape = {"none": None, "scalar": (), "row": (n,), "column": (m, 1), "matrix": (m, n)}[addend]
    if shape is None and opset < 11:
        shape = (1,)
    inputs = {
        "a": random.standard_normal((k, m) if trans[0] else (m, k)).astype(np.float32),
        "b": random.standard_normal((n, k) if trans[1] else (k, n)).astype(np.float32),
        "c": None if shape is None else random.standard_normal(shape).astype(np.float32),
    }
    agree_with_reference("Gemm", inputs, opset, transA=trans[0], transB=trans[1], alpha=alpha, beta=beta)


def test_gemm_does_not_widen_its_result() -> None:
    inputs = {"a": np.ones((1, 2), np.float32), "b": np.ones((2, 3), np.float32), "c": np.ones((4, 3), np.float32)}
    with pytest.raises(Findings, match="does not broadcast to the product"):
        run_model(node_model("Gemm", inputs, 13), inputs)


@pytest.mark.parametrize(
    "equation",
    ["...ij,...jk->...ik", "i...,i...->...", "bij,bjk", "...ii->...i", " i j -> j i ", "ij,jk,kl->il", "ij->"],
)
def test_notation(equation: str) -> None:
    terms = equation.split("->")[0].replace(" ", "").split(",")
    extents = {letter: 2 + i for i, letter in enumerate("abijkl")}
    random = np.random.default_rng(0)
    shapes = [[*([3, 2] if "..." in term else []), *(extents[c] for c in term if c.isalpha())] for term in terms]
    if equation.startswith("i..."):
        shapes = [[4, 3, 2], [4, 2]]
    inputs = {f"x{i}": random.standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)}
    result = run_model(node_model("Einsum", dict(inputs), 12, equation=equation), inputs)["y0"]
    np.testing.assert_allclose(result, np.einsum(equation.replace(" ", ""), *inputs.values()), rtol=1e-5, atol=1e-5)


def test_parsed_notation() -> None:
    assert parse_equation("ij,jk", [2, 2]) == Einsum(((0, 1), (1, 2)), (0, 2))
    assert parse_equation("...b,...", [2, 2]) == Einsum(((2, 0), (1, 2)), (1, 2, 0))


@pytest.mark.parametrize(
    ("equation", "ranks", "message"),
    [
        ("ij,jk->ik", [2], "2 terms for 1 operands"),
        ("ij->ij", [3], "does not fit an operand of 3 dimensions"),
        ("ijk->ij", [2], "does not fit an operand of 2 dimensions"),
        ("ij->ik", [2], "no operand has k"),
        ("i1->i", [2], "no list of letters"),
        ("......->", [2], "no list of letters"),
        ("ij->i->j", [2], "no list of letters"),
    ],
)
def test_a_bad_notation_is_refused(equation: str, ranks: list[int], message: str) -> None:
    with pytest.raises(BadModel, match=message):
        parse_equation(equation, ranks)
