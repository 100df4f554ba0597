"""ONNX's operators of vision mean what the standard says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, node_cases, node_model, run_model

from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

CASES = node_cases("AffineGrid", "GridSample", "RoiAlign", "DeformConv", "Col2Im")
RNG = np.random.default_rng(2)


def random(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_grid_sample(mode: str, padding: str, aligned: int) -> None:
    """ONNX's reference moves places to the border before a cubic bends there, which nobody else does."""
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
    grids = 1.6 * random(2, 4, 3, 2), 1.3 * random(1, 2, 2, 3, 3)
    if (mode, padding) != ("cubic", "border"):
        agree_with_reference("GridSample", {"x": random(2, 2, 5, 4), "grid": grids[0]}, 20, rtol=1e-4, **attributes)
        agree_with_reference("GridSample", {"x": random(1, 1, 3, 4, 5), "grid": grids[1]}, 20, rtol=1e-4, **attributes)
    old = {**attributes, "mode": {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)}
    agree_with_runtime("GridSample", {"x": random(2, 2, 5, 4), "grid": grids[0]}, 16, **old)


def regions(count: int) -> Array:
    corner = RNG.uniform(0, 20, (count, 2))
    return np.concatenate([corner, corner + RNG.uniform(0.5, 25, (count, 2))], 1).astype(np.float32)


@pytest.mark.parametrize(("ratio", "scale"), [(0, 0.5), (2, 0.25), (3, 1.0)])
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_roi_align(mode: str, ratio: int, scale: float) -> None:
    inputs = {"x": random(2, 3, 12, 13), "rois": regions(9), "batch": RNG.integers(0, 2, 9)}
    attributes: dict[str, Any] = {"output_height": 3, "output_width": 2}
    attributes |= {"sampling_ratio": ratio, "spatial_scale": scale}
    for origin in ("half_pixel", "output_half_pixel"):
        shift = {"coordinate_transformation_mode": origin}
        agree_with_reference("RoiAlign", inputs, 16, rtol=1e-4, mode=mode, **attributes, **shift)
    agree_with_runtime("RoiAlign", inputs, 10, **attributes)


def test_a_region_may_be_larger_than_the_image() -> None:
    inputs = {"x": random(1, 2, 3, 5), "rois": np.array([[-1, -2, 9, 7]], np.float32), "batch": np.array([0])}
    agree_with_runtime("RoiAlign", inputs, 16, output_height=1, output_width=1)


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_max_roi_pool(scale: float) -> None:
    numbers = RNG.integers(0, 2, (9, 1)).astype(np.float32)
    inputs = {"x": random(2, 3, 12, 13), "rois": np.concatenate([numbers, regions(9)], 1)}
    agree_with_runtime("MaxRoiPool", inputs, 16, pooled_shape=[3, 4], spatial_scale=scale)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_deform_conv(with_bias: bool, with_mask: bool) -> None:
    inputs = {
        "x": random(2, 4, 6, 7),
        "w": random(6, 2, 3, 2),
        "offset": random(2, 2 * 6 * 2, 3, 5),
        "b": random(6) if with_bias else None,
        "mask": random(2, 2 * 6, 3, 5) if with_mask else None,
    }
    attributes = {"group": 2, "offset_group": 2, "strides": [2, 2], "pads": [1, 2, 0, 1]}
    agree_with_reference("DeformConv", inputs, 19, rtol=1e-4, atol=1e-5, **attributes)


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("image", [(3, 4), (2, 3, 4), (1, 2, 3)])
@pytest.mark.parametrize("batch", [1, 2])
def test_affine_grid(batch: int, image: tuple[int, ...], aligned: int) -> None:
    rank = len(image)
    inputs = {"theta": random(batch, rank, rank + 1), "_size": np.array([batch, 2, *image])}
    check = agree_with_reference if aligned and 1 in image else agree_with_runtime
    check("AffineGrid", inputs, 20, align_corners=aligned)


@pytest.mark.parametrize("size", [(2, 1, 1, 3), (2, 1, 3, 1)])
def test_a_grid_of_one_line_is_finite(size: tuple[int, ...]) -> None:
    inputs = {"theta": random(2, 2, 3), "_size": np.array(size)}
    result = run_model(node_model("AffineGrid", inputs, 20, align_corners=1), {"theta": inputs["theta"]})["y0"]
    assert result.shape == (2, *size[2:], 2)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("strides", [(1, 1), (2, 3), (4, 4)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 0, 1)])
@pytest.mark.parametrize("kernel", [(3, 2), (1, 4)])
def test_col2im(kernel: tuple[int, int], pads: tuple[int, ...], strides: tuple[int, int]) -> None:
    image, dilations = (9, 11), (2, 1)
    counts = [
        (n + before + after - (k - 1) * d - 1) // s + 1
        for n, before, after, k, d, s in zip(image, pads[:2], pads[2:], kernel, dilations, strides, strict=True)
    ]
    x = random(2, 3 * int(np.prod(kernel)), int(np.prod(counts)))
    inputs = {"x": x, "_image": np.array(image), "_kernel": np.array(kernel)}
    agree_with_reference("Col2Im", inputs, 18, pads=pads, strides=strides, dilations=dilations)


def test_missing_windows_do_not_make_nan() -> None:
    x = np.ones((1, 4, 4), np.float32)
    x[0, 0, 0] = np.inf
    model = node_model("Col2Im", {"x": x, "_image": np.array([3, 3]), "_kernel": np.array([2, 2])}, 18)
    result = run_model(model, {"x": x})["y0"]
    assert np.isinf(result).sum() == 1
    assert not np.isnan(result).any()


def test_an_image_that_is_mostly_gaps_is_refused() -> None:
    inputs = {"x": np.ones((1, 1, 2), np.float32), "_image": np.array([1 << 40, 1]), "_kernel": np.array([1, 1])}
    with pytest.raises(Findings, match="is larger than"):
        run_model(node_model("Col2Im", inputs, 18, strides=[(1 << 40) - 1, 1]), {"x": inputs["x"]})


@pytest.mark.parametrize(
    ("size", "words"), [([1, 1, 2], "do not fit"), ([2, 1, 2, 2], "do not fit"), ([1, 1, 1 << 40, 2], "too large")]
)
def test_no_grid_of_this_size(size: list[int], words: str) -> None:
    inputs = {"theta": random(1, 2, 3), "_size": np.array(size)}
    with pytest.raises(Findings, match=words):
        run_model(node_model("AffineGrid", inputs, 20), {"theta": inputs["theta"]})


@pytest.mark.parametrize(
    ("operator", "shapes", "attributes", "words"),
    [
        ("GridSample", [(1, 2, 3, 4), (1, 2, 3, 3)], {}, "needs a grid"),
        ("GridSample", [(1, 2, 0, 4), (1, 2, 3, 2)], {}, "nothing to sample"),
        ("DeformConv", [(1, 2, 3, 4), (1, 2, 2, 2), (1, 8, 2, 2)], {}, "the offsets of"),
        ("DeformConv", [(1, 2, 3, 4), (1, 2, 2, 2), (1, 8, 2, 3)], {"group": 2}, "does not fit the channels"),
    ],
)
def test_shapes_that_do_not_fit(
    operator: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], words: str
) -> None:
    inputs = {f"x{i}": random(*shape) for i, shape in enumerate(shapes)}
    with pytest.raises(Findings, match=words):
        run_model(node_model(operator, inputs, 22, **attributes), inputs)


def test_every_combination_is_named_once() -> None:
    """The names of both versions stand for the same interpolations."""
    x, grid = random(1, 1, 4, 4), random(1, 3, 3, 2)
    for old, new in (("bilinear", "linear"), ("bicubic", "cubic"), ("nearest", "nearest")):
        results = [
            run_model(node_model("GridSample", {"x": x, "grid": grid}, opset, mode=mode), {"x": x, "grid": grid})["y0"]
            for opset, mode in ((16, old), (22, new))
        ]
        np.testing.assert_array_equal(*results)
