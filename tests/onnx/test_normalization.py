"""ONNX's normalisations mean what the standard says."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.operators import normalization
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

CASES = node_cases(*{name for name, _ in normalization.LOADERS})
RNG = np.random.default_rng(5)


def random(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


def test_training_of_old_is_refused() -> None:
    inputs = {"x": random(2, 7, 3), **{name: random(7) for name in ("scale", "bias", "mean", "variance")}}
    with pytest.raises(Findings, match="training mode; export the model for inference"):
        run_model(node_model("BatchNormalization", inputs, 9, results=5), inputs)


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("spatial", [(), (1,), (5, 3), (2, 3, 2)])
def test_batch_normalization(opset: int, spatial: tuple[int, ...]) -> None:
    x, scale, bias, mean = random(2, 7, *spatial), random(7), random(7), random(7)
    variance = np.abs(random(7)) + 0.1
    inputs = {"x": x, "scale": scale, "bias": bias, "mean": mean, "variance": variance}
    run = run_model(node_model("BatchNormalization", inputs, opset, epsilon=1e-3), inputs)

    def wide(part: Array) -> Array:
        return part.reshape(7, *(1 for _ in spatial)).astype(np.float64)

    expected = (x - wide(mean)) / np.sqrt(wide(variance) + 1e-3) * wide(scale) + wide(bias)
    compare(run["y0"], expected.astype(np.float32), rtol=1e-4, atol=1e-5)


def test_batch_normalization_of_each_place() -> None:
    x = random(2, 3, 4)
    parts = {name: np.abs(random(3, 4)) for name in ("scale", "bias", "mean", "variance")}
    run = run_model(node_model("BatchNormalization", {"x": x, **parts}, 7, spatial=0), {"x": x, **parts})
    deviation = np.sqrt(parts["variance"] + 1e-5)
    compare(run["y0"], (x - parts["mean"]) / deviation * parts["scale"] + parts["bias"], rtol=1e-4, atol=1e-5)


def test_batch_normalization_of_halves_with_parts_in_float32() -> None:
    x = random(2, 3, 4).astype(np.float16)
    parts = {name: np.abs(random(3)) for name in ("scale", "bias", "mean", "variance")}
    run = run_model(node_model("BatchNormalization", {"x": x, **parts}, 15), {"x": x, **parts})
    scale, bias, mean, variance = (part[:, None] for part in parts.values())
    compare(run["y0"], ((x - mean) / np.sqrt(variance + 1e-5) * scale + bias).astype(np.float16), rtol=2e-3, atol=2e-3)


def test_channels_that_do_not_match_are_told() -> None:
    inputs = {"x": random(2, 7, 3), "scale": random(7), "bias": random(7), "mean": random(6), "variance": random(7)}
    with pytest.raises(Findings, match=r"f32\[6\] has not one element for each channel of f32\[2,7,3\]"):
        run_model(node_model("BatchNormalization", inputs, 15), inputs)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization_with_its_statistics(axis: int, bias: bool) -> None:
    x = random(3, 5, 7) * 3 + 1
    shape = x.shape[axis % 3 :]
    inputs = {"x": x, "scale": random(*shape)} | ({"bias": random(*shape)} if bias else {})
    agree_with_reference("LayerNormalization", inputs, 17, results=3, axis=axis, rtol=1e-4, atol=1e-5)


def test_a_scale_that_widens_is_told() -> None:
    inputs = {"x": random(3, 1), "scale": random(5)}
    with pytest.raises(Findings, match="does not broadcast"):
        run_model(node_model("LayerNormalization", inputs, 17), inputs)


@pytest.mark.parametrize(("opset", "parts"), [(18, 3), (21, 6)])
def test_group_normalization_by_group_and_by_channel(opset: int, parts: int) -> None:
    x, scale, bias = random(2, 6, 5, 3), random(parts), random(parts)
    inputs = {"x": x, "scale": scale, "bias": bias}
    run = run_model(node_model("GroupNormalization", inputs, opset, num_groups=3), inputs)
    groups = x.reshape(2, 3, -1).astype(np.float64)
    normalized = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    scale, bias = (np.repeat(part, 6 // parts)[:, None, None] for part in (scale, bias))
    compare(run["y0"], (normalized.reshape(x.shape) * scale + bias).astype(np.float32), rtol=1e-4, atol=1e-5)


def test_groups_that_do_not_divide_the_channels_are_told() -> None:
    inputs = {"x": random(2, 6, 5), "scale": random(6), "bias": random(6)}
    for groups in (4, 0, -1):
        with pytest.raises(Findings, match="groups"):
            run_model(node_model("GroupNormalization", inputs, 21, num_groups=groups), inputs)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11, 10**9])
def test_neighbouring_channels_within_a_window_of_any_size(size: int) -> None:
    x = random(2, 5, 3, 1)
    run = run_model(node_model("LRN", {"x": x}, 13, size=size, alpha=0.5, beta=0.6, bias=2.0), {"x": x})
    sums = np.zeros_like(x)
    for c in range(5):
        window = x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        sums[:, c] = (window**2).sum(1)
    compare(run["y0"], x / (2 + 0.5 / size * sums) ** np.float32(0.6), rtol=1e-5, atol=1e-6)
