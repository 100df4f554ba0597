"""ONNX's convolutions mean what the standard says, and what ONNX Runtime makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_runtime, check_case, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy.onnx.operators import convolution
from glowpy_ir.errors import Findings


@pytest.mark.parametrize("case", node_cases(*{name for name, _ in convolution.LOADERS}), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@settings(max_examples=50, deadline=None)
@given(
    opset=st.sampled_from([7, 11, 22]),
    spatial=st.lists(st.integers(5, 9), min_size=1, max_size=3),
    auto_pad=st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    groups=st.integers(1, 3),
    data=st.data(),
)
def test_convolution(opset: int, spatial: list[int], auto_pad: str, groups: int, data: st.DataObject) -> None:
    rank = len(spatial)
    kernel = data.draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    strides = data.draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    attributes: dict[str, object] = {"strides": strides, "auto_pad": auto_pad, "group": groups}
    if auto_pad == "NOTSET":
        attributes["pads"] = data.draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
        attributes["dilations"] = data.draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    random = np.random.default_rng(0)
    inputs = {
        "x": random.standard_normal((2, 2 * groups, *spatial)).astype(np.float32),
        "w": random.standard_normal((3 * groups, 2, *kernel)).astype(np.float32),
        "b": random.standard_normal(3 * groups).astype(np.float32),
    }
    agree_with_runtime("Conv", inputs, opset, **attributes)


@settings(max_examples=50, deadline=None)
@given(
    opset=st.sampled_from([7, 11, 22]),
    spatial=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    padding=st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "output_shape"]),
    groups=st.integers(1, 2),
    data=st.data(),
)
def test_transposed_convolution(
    opset: int, spatial: list[int], padding: str, groups: int, data: st.DataObject
) -> None:
    rank = len(spatial)

    def each(least: int, most: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    kernel, strides, dilations = each(2, 4), each(1, 3), each(1, 2)
    attributes: dict[str, object] = {"strides": strides, "group": groups, "dilations": dilations}
    if padding == "NOTSET":
        attributes["pads"] = each(0, 1, 2 * rank)
        attributes["output_padding"] = [data.draw(st.integers(0, s - 1)) for s in strides]
        if any(n == 1 for n in spatial):
            attributes["pads"] = [0] * (2 * rank)
    elif padding == "output_shape":
        attributes["output_shape"] = [
            (n - 1) * s + (k - 1) * d + 1 - data.draw(st.integers(0, 1))
            for n, s, k, d in zip(spatial, strides, kernel, dilations, strict=True)
        ]
        attributes["auto_pad"] = data.draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
    else:
        attributes["auto_pad"] = padding
        # With gaps between the copies, ONNX Runtime makes less than the standard wants.
        attributes["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    random = np.random.default_rng(0)
    inputs = {
        "x": random.standard_normal((2, 2 * groups, *spatial)).astype(np.float32),
        "w": random.standard_normal((2 * groups, 3, *kernel)).astype(np.float32),
        "b": random.standard_normal(3 * groups).astype(np.float32),
    }
    agree_with_runtime("ConvTranspose", inputs, opset, **attributes)


X, W = np.ones((1, 2, 5, 5), np.float32), np.ones((2, 2, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"pads": [1, 1]}, "'pads' has 2 entries; 4 are needed"),
        ({"strides": [0, 1]}, "must be positive"),
        ({"kernel_shape": [3, 4]}, "kernel_shape"),
        ({"auto_pad": "SAME"}, "auto_pad"),
        ({"group": 2}, "needs 4 channels"),
        ({"group": 0}, "groups"),
    ],
)
def test_a_bad_convolution_is_refused(attributes: dict[str, object], message: str) -> None:
    with pytest.raises(Findings, match=message):
        run_model(node_model("Conv", {"x": X, "w": W}, 13, **attributes), {"x": X, "w": W})


def test_padding_that_depends_on_an_open_dimension_is_refused() -> None:
    model = node_model("Conv", {"x": X, "_w": W}, 13, auto_pad="SAME_UPPER", strides=[2, 2])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(Findings, match=r"bind it \(--dim\)"):
        import_model(model)


def test_same_padding_without_strides_needs_no_extent() -> None:
    model = node_model("Conv", {"x": X, "_w": W}, 13, auto_pad="SAME_UPPER")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert str(import_model(model).outputs[0].type) == "f32[1,2,height,5]"
