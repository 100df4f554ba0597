"""ONNX's element-wise operators mean what the standard says."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.operators import elementwise
from glowpy_ir.errors import Findings, GlowError
from glowpy_ir.types import Array

CASES = node_cases(*{name for name, _ in elementwise.LOADERS if name != "Not"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@pytest.mark.parametrize("opset", [7, 13, 28])
def test_not(opset: int) -> None:
    agree_with_reference("Not", {"x": np.array([[True, False, True]])}, opset)


@pytest.mark.parametrize(
    ("operator", "opset"), [("Max", 8), ("Min", 8), ("Sum", 8), ("Mean", 8), ("Max", 13), ("Min", 13)]
)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_operands_is_broadcast(operator: str, opset: int, count: int) -> None:
    rng = np.random.default_rng(count)
    shapes: list[tuple[int, ...]] = [(3, 7), (3, 1), (7,), (), (1, 1)]
    inputs = {f"x{i}": rng.standard_normal(shapes[i]).astype(np.float32) for i in range(count)}
    agree_with_reference(operator, inputs, opset)


POWERS = [
    (np.float32, np.int64),
    (np.float32, np.float64),
    (np.float64, np.float32),
    (np.int32, np.float32),
    (np.int64, np.uint8),
    (np.int32, np.int64),
    (np.float16, np.float32),
]


@pytest.mark.parametrize(("base", "exponent"), POWERS, ids=lambda t: np.dtype(t).name)
def test_powers_of_mixed_kinds(base: type, exponent: type) -> None:
    inputs: dict[str, Array] = {"x": np.array([1, 2, 3, 4, 7], base), "y": np.array([3, 2, 0, 1, 5], exponent)}
    agree_with_reference("Pow", inputs, 15, rtol=1e-3 if base is np.float16 else 1e-6)


def test_halves_of_different_kinds_are_powered_in_float32() -> None:
    x, y = np.array([1.5, 3.0], np.float16), np.array([2.0, 0.5], ml_dtypes.bfloat16)
    run = run_model(node_model("Pow", {"x": x, "y": y}, 15), {"x": x, "y": y})
    compare(run["y0"], np.array([2.25, np.sqrt(3)], np.float16), rtol=1e-3)


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9),
    st.sampled_from([-7, -2, -1, 1, 3, 10**6]),
    st.sampled_from(["Div", "Mod"]),
)
def test_integers_are_divided_as_the_standard_says(numbers: list[int], divisor: int, operator: str) -> None:
    inputs = {"x": np.array(numbers, np.int64), "y": np.array(divisor, np.int64)}
    agree_with_reference(operator, inputs, 14)


@pytest.mark.parametrize("fmod", [0, 1])
def test_remainders_of_floats(fmod: int) -> None:
    x = np.array([5.5, -5.5, 5.5, -5.5, 0.0, 1.0, -1.0, np.inf, 3.0, np.nan], np.float32)
    y = np.array([3.0, 3.0, -3.0, -3.0, 2.0, np.inf, np.inf, 2.0, 0.0, 1.0], np.float32)
    agree_with_reference("Mod", {"x": x, "y": y}, 28, fmod=fmod)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bits_are_shifted_out(direction: str) -> None:
    x, y = np.array([-1, -128, 77, 5, -3], np.int8), np.array([9, 3, 8, -1, 0], np.int8)
    run = run_model(node_model("BitShift", {"x": x, "y": y}, 28, direction=direction), {"x": x, "y": y})
    expected = {"LEFT": [0, 0, 0, 0, -3], "RIGHT": [-1, -16, 0, 0, -3]}[direction]
    assert run["y0"].tolist() == expected


@pytest.mark.parametrize(("positive", "negative"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_infinities_of_either_sign(positive: int, negative: int) -> None:
    x = np.array([1, np.inf, -np.inf, np.nan, 0], np.float64)
    expected = [False, bool(positive), bool(negative), False, False]
    model = node_model("IsInf", {"x": x}, 20, detect_positive=positive, detect_negative=negative)
    assert run_model(model, {"x": x})["y0"].tolist() == expected


def test_what_eight_bits_cannot_hold_saturates() -> None:
    x = np.array([1e6, -1e6, np.inf, np.nan, 0.3], np.float32)
    model = node_model("Cast", {"x": x}, 24, to=TensorProto.FLOAT8E5M2)
    assert str(run_model(model, {"x": x})["y0"].tolist()) == "[57344.0, -57344.0, 57344.0, nan, 0.3125]"
    model = node_model("Cast", {"x": x}, 24, to=TensorProto.FLOAT8E5M2, saturate=0)
    assert str(run_model(model, {"x": x})["y0"].tolist()) == "[inf, -inf, inf, nan, 0.3125]"


def test_strings_that_are_no_numbers_are_told() -> None:
    x: Array = np.array(["1.5", "hello"], object)
    model = node_model("Cast", {"x": x}, 13, to=TensorProto.FLOAT)
    with pytest.raises(GlowError, match="cannot cast 'hello' to f32"):
        run_model(model, {"x": x})


def test_shapes_that_do_not_broadcast_are_told() -> None:
    inputs = {"x": np.zeros((2, 3), np.float32), "y": np.zeros((2, 4), np.float32)}
    with pytest.raises(Findings, match=r"Add.*shapes do not broadcast: \[2,3\] and \[2,4\]"):
        run_model(node_model("Add", inputs, 14), inputs)
