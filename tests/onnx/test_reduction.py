"""ONNX's reductions mean what the standard says, with the axes as an attribute and as an operand."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.operators import reduction
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

CASES = node_cases(*{name for name, _ in reduction.LOADERS})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@settings(max_examples=60, deadline=None)
@given(
    operator=st.sampled_from(sorted(reduction.REDUCTIONS)),
    opset=st.sampled_from([7, 11, 13, 18, 20]),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    keepdims=st.integers(0, 1),
    data=st.data(),
)
def test_axes_as_attribute_and_operand(
    operator: str, opset: int, shape: list[int], keepdims: int, data: st.DataObject
) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True), "axes")
    if opset >= 11:
        axes = [axis - len(shape) if i % 2 else axis for i, axis in enumerate(axes)]
    x = np.random.default_rng(len(shape)).uniform(0.5, 2, shape).astype(np.float32)
    if opset < reduction.REDUCTIONS[operator][1]:
        agree_with_reference(operator, {"x": x}, opset, keepdims=keepdims, axes=axes)
    else:
        agree_with_reference(operator, {"x": x, "_axes": np.array(axes, np.int64)}, opset, keepdims=keepdims)


@pytest.mark.parametrize("noop", [0, 1])
@pytest.mark.parametrize("axes", [None, []])
@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceMean"])
def test_no_axes_are_all_or_none(operator: str, axes: list[int] | None, noop: int) -> None:
    x = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
    inputs = {"x": x, "_axes": None if axes is None else np.array(axes, np.int64)}
    run = run_model(node_model(operator, inputs, 18, noop_with_empty_axes=noop), {"x": x})
    each: Array = {"ReduceSum": x, "ReduceMean": x, "ReduceL1": np.abs(x), "ReduceSumSquare": x * x}[operator]
    of_all = each.mean(keepdims=True) if operator == "ReduceMean" else each.sum(keepdims=True)
    compare(run["y0"], each if noop else of_all)


@pytest.mark.parametrize("select_last_index", [0, 1])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
def test_of_equal_elements_the_first_or_the_last(operator: str, keepdims: int, select_last_index: int) -> None:
    x = np.random.default_rng(1).integers(0, 3, (3, 7, 2)).astype(np.int32)
    agree_with_reference(operator, {"x": x}, 13, axis=-2, keepdims=keepdims, select_last_index=select_last_index)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_means_of_halves_do_not_overflow(dtype: type) -> None:
    x: Array = np.full((1, 300, 300), 60000, np.float32).astype(dtype)
    run = run_model(node_model("ReduceMean", {"x": x, "_axes": np.array([1, 2])}, 18), {"x": x})
    assert run["y0"].item() == x[0, 0, 0]


def test_sums_are_rounded_once() -> None:
    x = np.full(3 * 10**6, 0.1, np.float32)
    run = run_model(node_model("ReduceSum", {"x": x}, 13), {"x": x})
    assert run["y0"].item() == np.float32(float(np.float32(0.1)) * 3 * 10**6)


def test_log_of_sums_of_infinities() -> None:
    x = np.array([[-np.inf, -np.inf], [np.inf, 1], [1000, 1000], [np.nan, 1]], np.float32)
    run = run_model(node_model("ReduceLogSumExp", {"x": x, "_axes": np.array([1])}, 18, keepdims=0), {"x": x})
    compare(run["y0"], np.array([-np.inf, np.inf, 1000 + np.log(2), np.nan], np.float32))


def test_axes_that_do_not_exist_are_told() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(Findings, match="axis 2 is outside a tensor of 2 dimensions"):
        run_model(node_model("ReduceMax", {"x": x}, 13, axes=[2]), {"x": x})
    with pytest.raises(Findings, match="name one axis twice"):
        run_model(node_model("ReduceMax", {"x": x}, 13, axes=[1, -1]), {"x": x})
