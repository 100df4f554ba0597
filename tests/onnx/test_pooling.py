"""ONNX's pools mean what the standard says, and what ONNX Runtime makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, node_cases, node_model, run_model

from glowpy.onnx.operators import pooling
from glowpy_ir.errors import Findings

WITHOUT_CASES = {"GlobalLpPool"}


@pytest.mark.parametrize(
    "case", node_cases(*{name for name, _ in pooling.LOADERS} - WITHOUT_CASES), ids=lambda case: case.name
)
def test_standard_case(case: TestCase) -> None:
    check_case(case, "output_shape")


@st.composite
def attributes(draw: st.DrawFn, spatial: list[int], opset: int) -> dict[str, object]:
    """Kernel, strides and padding that ONNX Runtime takes: it wants less padding than kernel."""
    rank = len(spatial)
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    strides = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    found: dict[str, object] = {"kernel_shape": kernel, "strides": strides}
    if draw(st.booleans()):
        found["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
        if opset >= 11:
            found["ceil_mode"] = draw(st.integers(0, 1))
    else:
        found["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        # With gaps between the windows, ONNX Runtime pads by less than nothing.
        found["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    return found


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([8, 11, 22]), st.lists(st.integers(3, 8), min_size=1, max_size=3), st.booleans(), st.data())
def test_max_pool(opset: int, spatial: list[int], wants_places: bool, data: st.DataObject) -> None:
    found = data.draw(attributes(spatial, opset))
    if wants_places and opset >= 11:
        found["storage_order"] = data.draw(st.integers(0, 1))
    x = np.random.default_rng(0).standard_normal((2, 3, *spatial)).astype(np.float32)
    agree_with_runtime("MaxPool", {"x": x}, opset, 2 if wants_places else 1, **found)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([7, 11, 19, 22]), st.lists(st.integers(3, 8), min_size=1, max_size=3), st.data())
def test_average_pool(opset: int, spatial: list[int], data: st.DataObject) -> None:
    found = data.draw(attributes(spatial, opset))
    found["count_include_pad"] = data.draw(st.integers(0, 1))
    assume(opset >= 19 or not found.get("ceil_mode"))  # what counts was told only then
    x = np.random.default_rng(0).standard_normal((2, 3, *spatial)).astype(np.float32)
    agree_with_runtime("AveragePool", {"x": x}, opset, **found)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_norms(p: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5)).astype(np.float32)
    agree_with_reference("LpPool", {"x": x}, 18, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], p=p, atol=1e-5)
    run = run_model(node_model("GlobalLpPool", {"x": x}, 7, p=p), {"x": x})["y0"]
    np.testing.assert_allclose(run[:, :, 0, 0], (np.abs(x) ** p).sum(axis=(2, 3)) ** (1 / p), rtol=1e-5)


def test_unpooling_restores_the_maxima() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 8)).astype(np.float32)
    pooled = run_model(node_model("MaxPool", {"x": x}, 11, 2, kernel_shape=[2, 2], strides=[2, 2]), {"x": x})
    inputs = {"x": pooled["y0"], "i": pooled["y1"]}
    model = node_model("MaxUnpool", dict(inputs), 11, kernel_shape=[2, 2], strides=[2, 2])
    result = run_model(model, inputs)["y0"]
    np.testing.assert_array_equal(result, np.where(np.isin(x, pooled["y0"]), x, 0))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"kernel_shape": [2]}, "a kernel of 1 dimensions"),
        ({}, "'kernel_shape' is missing"),
        ({"kernel_shape": [9, 9]}, "a window of 9 is wider than dimension 6"),
        ({"kernel_shape": [2, 2], "strides": [-1, 1]}, "must be positive"),
        ({"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}, "must not be negative"),
    ],
)
def test_a_bad_pool_is_refused(found: dict[str, object], message: str) -> None:
    x = np.ones((1, 1, 6, 6), np.float32)
    with pytest.raises(Findings, match=message):
        run_model(node_model("MaxPool", {"x": x}, 11, **found), {"x": x})
