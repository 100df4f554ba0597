"""ONNX's activation functions mean what the standard says, in every version."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.operators import activation
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

CASES = node_cases(*{name for name, _ in activation.LOADERS})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


X = np.random.default_rng(0).standard_normal((2, 3, 5, 1, 1)).astype(np.float32) * 4


@pytest.mark.parametrize("axis", [-5, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("opset", [7, 11, 12, 13])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
def test_softmax_along_an_axis_or_along_the_rest(operator: str, opset: int, axis: int) -> None:
    if opset >= 13:
        expected = _by_hand(operator, X, axis)
    else:
        rows = int(np.prod(X.shape[: axis % X.ndim]))
        expected = _by_hand(operator, X.reshape(rows, -1), 1).reshape(X.shape)
    run = run_model(node_model(operator, {"x": X}, opset, axis=axis), {"x": X})
    compare(run["y0"], expected, atol=1e-6)


def test_hardmax_of_nothing_is_nothing() -> None:
    x = np.zeros((2, 0, 3), np.float32)
    for opset in (11, 13):
        compare(run_model(node_model("Hardmax", {"x": x}, opset, axis=1), {"x": x})["y0"], x)


def _by_hand(operator: str, x: Array, axis: int) -> Array:
    if operator == "Hardmax":
        result = np.zeros_like(x)
        np.put_along_axis(result, np.argmax(x, axis, keepdims=True), 1, axis)
        return result
    weights = np.exp(x.astype(np.float64))
    weights /= weights.sum(axis, keepdims=True)
    return (weights if operator == "Softmax" else np.log(weights)).astype(x.dtype)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_softmax_of_halves_does_not_overflow(dtype: type) -> None:
    x: Array = np.array([[60000, 60000, 0], [-60000, -60000, -60000]], np.float32).astype(dtype)
    run = run_model(node_model("Softmax", {"x": x}, 13), {"x": x})
    compare(run["y0"], np.array([[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32).astype(dtype), rtol=1e-2)


LIMITS = [(None, None), (-1.0, None), (None, 0.5), (-1.0, 0.5), (0.5, -1.0)]


@pytest.mark.parametrize(("low", "high"), LIMITS)
@pytest.mark.parametrize("constant", [True, False])
def test_clip_with_limits_as_operands(low: float | None, high: float | None, constant: bool) -> None:
    mark = "_" if constant else ""
    limits = {f"{mark}low": low, f"{mark}high": high}
    inputs = {"x": X} | {k: None if v is None else np.array(v, np.float32) for k, v in limits.items()}
    feeds = {k: v for k, v in inputs.items() if v is not None and not k.startswith("_")}
    run = run_model(node_model("Clip", inputs, 13), feeds)
    expected = X if low is None else np.maximum(X, np.float32(low))
    compare(run["y0"], expected if high is None else np.minimum(expected, np.float32(high)))


def test_clip_with_limits_as_attributes() -> None:
    run = run_model(node_model("Clip", {"x": X}, 6 + 1, min=-0.5, max=1.0), {"x": X})
    compare(run["y0"], np.clip(X, -0.5, 1))


def test_clip_of_large_integers_is_exact() -> None:
    x = np.array([-(2**62) - 1, 5, 2**62 + 1], np.int64)
    inputs = {"x": x, "_low": np.array(-(2**62) + 1), "_high": np.array(2**62 - 1)}
    run = run_model(node_model("Clip", inputs, 13), {"x": x})
    assert run["y0"].tolist() == [-(2**62) + 1, 5, 2**62 - 1]


@pytest.mark.parametrize("operator", ["Softplus", "Mish", "Elu", "Softsign", "Celu"])
def test_large_numbers_do_not_overflow(operator: str) -> None:
    x = np.array([-1e4, -100, -20, 0, 20, 100, 1e4], np.float32)
    run = run_model(node_model(operator, {"x": x}, 22), {"x": x})
    assert np.isfinite(run["y0"]).all()
    agree_with_reference(operator, {"x": x[1:-1]}, 22, atol=1e-5)


def test_an_approximation_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Findings, match="'approximate' is 'sin'; supported: none, tanh"):
        run_model(node_model("Gelu", {"x": X}, 20, approximate="sin"), {"x": X})
