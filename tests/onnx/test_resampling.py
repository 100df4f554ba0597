"""ONNX's Resize and Upsample mean what the standard says, and what ONNX Runtime makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings
from glowpy_ir.ops.resampling import Repeat
from glowpy_ir.types import Array


@pytest.mark.parametrize("case", node_cases("Resize", "Upsample"), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case, "roi", "scales")


def image(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


COORDINATES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]


@settings(max_examples=60, deadline=None)
@given(
    opset=st.sampled_from([11, 13, 19]),
    extents=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    sizes=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    coordinates=st.sampled_from(COORDINATES),
    rounding=st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
)
def test_nearest(
    opset: int, extents: tuple[int, int], sizes: tuple[int, int], coordinates: str, rounding: str
) -> None:
    inputs = {"x": image(2, 3, *extents), "_roi": None, "_scales": None, "_sizes": np.array([2, 3, *sizes], np.int64)}
    if opset == 11:
        inputs |= {"_roi": np.zeros(0, np.float32), "_scales": np.zeros(0, np.float32)}
    found = {"mode": "nearest", "nearest_mode": rounding, "coordinate_transformation_mode": coordinates}
    agree_with_runtime("Resize", inputs, opset, **found)


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["linear", "cubic"]),
    extents=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    sizes=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    coordinates=st.sampled_from([*COORDINATES, "half_pixel_symmetric"]),
    antialias=st.integers(0, 1),
    exclude_outside=st.integers(0, 1),
)
def test_weighted(
    mode: str,
    extents: tuple[int, int],
    sizes: tuple[int, int],
    coordinates: str,
    antialias: int,
    exclude_outside: int,
) -> None:
    if coordinates == "pytorch_half_pixel" and 1 in sizes:
        return  # the reference does not follow the standard here
    inputs = {"x": image(1, 2, *extents), "_roi": None, "_scales": None, "_sizes": np.array([1, 2, *sizes], np.int64)}
    agree_with_reference(
        "Resize", inputs, 19, mode=mode, coordinate_transformation_mode=coordinates, antialias=antialias,
        exclude_outside=exclude_outside, cubic_coeff_a=-0.5, rtol=1e-4, atol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 1.5, 2.0, 2.7])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("operator", "opset"), [("Upsample", 9), ("Resize", 10)])
def test_before_there_were_coordinates(operator: str, opset: int, mode: str, scale: float) -> None:
    if operator == "Upsample" and scale < 1:
        return
    inputs = {"x": image(1, 2, 5, 7), "_scales": np.array([1, 1, scale, scale], np.float32)}
    agree_with_runtime(operator, dict(inputs), opset, mode=mode)


@pytest.mark.parametrize("coordinates", ["asymmetric", "half_pixel"])
@pytest.mark.parametrize("rounding", ["floor", "round_prefer_floor"])
@pytest.mark.parametrize("scale", [0.7, 1.1, 1.7, 2.3])
def test_a_scale_is_what_was_written_not_the_float_beside_it(scale: float, rounding: str, coordinates: str) -> None:
    inputs = {"x": image(1, 1, 20, 21), "_roi": None, "_scales": np.array([1, 1, scale, scale], np.float32)}
    found = {"nearest_mode": rounding, "coordinate_transformation_mode": coordinates}
    agree_with_runtime("Resize", inputs, 13, mode="nearest", **found)


def test_so_small_that_nothing_is_left() -> None:
    agree_with_runtime("Resize", {"x": image(2, 3, 1, 4), "_scales": np.array([1, 1, 0.5, 2], np.float32)}, 10)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_the_width_of_a_crop_does_not_change_how_many_there_are(mode: str) -> None:
    inputs = {
        "x": image(1, 1, 6, 6),
        "_roi": np.array([0, 0, 0.25, 0.25, 1, 1, 0.75, 0.75], np.float32),
        "_scales": np.array([1, 1, 1.5, 2], np.float32),
    }
    agree_with_runtime("Resize", inputs, 13, mode=mode, coordinate_transformation_mode="tf_crop_and_resize")


def test_upsample_with_scales_as_an_attribute() -> None:
    x = image(1, 2, 3, 4)
    run = run_model(node_model("Upsample", {"x": x}, 7, mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]), {"x": x})
    np.testing.assert_array_equal(run["y0"], x.repeat(2, 2).repeat(3, 3))


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("rounding", ["floor", "round_prefer_floor"])
def test_a_whole_factor_repeats(coordinates: str, rounding: str) -> None:
    if (coordinates, rounding) != ("asymmetric", "floor") and rounding == "floor":
        return
    inputs = {"x": image(1, 2, 3, 4), "_roi": None, "_scales": np.array([1, 1, 2, 2], np.float32)}
    found = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    graph = import_model(node_model("Resize", inputs, 13, **found))
    assert [node.op for node in graph.nodes] == [Repeat((1, 1, 2, 2))]


def test_any_kind_can_be_picked() -> None:
    x = np.array([[["a", "b"]]], object)
    inputs = {"x": x, "_roi": None, "_scales": np.array([1, 1, 2.5], np.float32)}
    assert run_model(node_model("Resize", inputs, 13), {"x": x})["y0"].tolist() == [[["a", "a", "a", "b", "b"]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float64])
def test_weighted_sums_of_other_kinds(dtype: type[np.generic]) -> None:
    x = np.random.default_rng(0).integers(0, 200, (1, 1, 5, 6)).astype(dtype)
    inputs = {"x": x, "_roi": None, "_scales": np.array([1, 1, 1.7, 0.6], np.float32)}
    agree_with_reference("Resize", inputs, 19, mode="cubic", rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("inputs", "found", "message"),
    [
        ({"_scales": np.array([1, 1, 2], np.float32)}, {}, "must be 4 positive numbers"),
        ({"_scales": np.array([1, 1, 0, 2], np.float32)}, {}, "must be 4 positive numbers"),
        ({"_scales": None, "_sizes": np.array([1, 1, -1, 2], np.int64)}, {}, "not negative"),
        ({"_scales": None, "_sizes": None}, {}, "either scales or sizes"),
        ({"_scales": np.array([1, 1, 2, 2], np.float32)}, {"mode": "area"}, "'mode' is 'area'"),
    ],
)
def test_a_bad_resize_is_refused(inputs: dict[str, Array | None], found: dict[str, object], message: str) -> None:
    given = {"x": image(1, 1, 4, 4), "_roi": None, **inputs}
    with pytest.raises(Findings, match=message):
        import_model(node_model("Resize", given, 13, **found))
