"""Quantized operators mean what the standard says, and what ONNX Runtime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, node_cases, node_model, run_model

from glowpy.onnx.operators import quantization
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

CASES = node_cases(*{name for name, _ in quantization.LOADERS})
RNG = np.random.default_rng(17)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


def integers(dtype: type[np.integer[Any]], *shape: int) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


def scales(*shape: int, most: float = 0.1) -> Array:
    return np.asarray(RNG.uniform(most / 10, most, shape), np.float32)


NARROW = [np.int8, np.uint8, np.int16, np.uint16]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(("shape", "axis"), [((), 1), ((1,), 1), ((5,), 1), ((3,), -2), ((7,), 2)])
def test_quantize(dtype: type[np.integer[Any]], shape: tuple[int, ...], axis: int) -> None:
    x = (RNG.standard_normal((2, 5, 7) if axis > 0 else (3, 7)) * 100).astype(np.float32)
    inputs = {"x": x, "scale": scales(*shape), "zero": integers(dtype, *shape)}
    agree_with_reference("QuantizeLinear", inputs, 21, axis=axis)
    agree_with_runtime("QuantizeLinear", inputs, 21, axis=axis)


def test_ties_go_to_the_even_number_before_the_zero_is_added() -> None:
    x = np.arange(-20, 20, dtype=np.float32) / 2
    for zero in (0, 3, 128):
        parts: dict[str, Array] = {"scale": np.ones((), np.float32), "zero": np.full((), zero, np.uint8)}
        agree_with_runtime("QuantizeLinear", {"x": x, **parts}, 13, rtol=0, atol=0)


def test_quantize_integers() -> None:
    x = RNG.integers(-(2**31), 2**31, (3, 7)).astype(np.int32)
    agree_with_reference("QuantizeLinear", {"x": x, "scale": np.array(2.0**22, np.float32)}, 13)


@pytest.mark.parametrize("dtype", [*NARROW, np.int32])
@pytest.mark.parametrize(("shape", "axis"), [((), 1), ((5,), 1), ((2,), -3)])
def test_dequantize(dtype: type[np.integer[Any]], shape: tuple[int, ...], axis: int) -> None:
    zero = np.zeros(shape, np.int32) if dtype is np.int32 else integers(dtype, *shape)
    inputs = {"x": integers(dtype, 2, 5, 7), "scale": scales(*shape), "zero": zero}
    agree_with_reference("DequantizeLinear", inputs, 21, axis=axis)
    agree_with_runtime("DequantizeLinear", inputs, 21, axis=axis)


@pytest.mark.parametrize(("extent", "block"), [(6, 2), (6, 3), (7, 3), (5, 5), (5, 8)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_blocks(extent: int, block: int, axis: int) -> None:
    shape = [2, 3, 4]
    shape[axis] = extent
    of_blocks = list(shape)
    of_blocks[axis] = -(-extent // block)
    inputs = {"x": integers(np.int8, *shape), "scale": scales(*of_blocks), "zero": integers(np.int8, *of_blocks)}
    agree_with_reference("DequantizeLinear", inputs, 21, axis=axis, block_size=block)
    inputs["x"] = RNG.standard_normal(shape).astype(np.float32)
    agree_with_reference("QuantizeLinear", inputs, 21, axis=axis, block_size=block)


def test_a_block_longer_than_the_tensor() -> None:
    """It allocates no more than there are elements."""
    inputs = {"x": integers(np.int8, 5, 3), "scale": scales(1, 3)}
    run = run_model(node_model("DequantizeLinear", inputs, 21, axis=0, block_size=1 << 40), inputs)
    np.testing.assert_array_equal(run["y0"], inputs["x"].astype(np.float32) * inputs["scale"])


@pytest.mark.parametrize(
    ("shape", "attributes", "message"),
    [
        ((2,), {"axis": 1}, "no scale or zero for each place along axis 1"),
        ((5,), {"axis": 3}, "axis 3 is outside"),
        ((2, 2, 7), {"axis": 1, "block_size": 4}, "blocks of 4"),
        ((2, 3, 7), {"axis": 1, "block_size": -2}, "blocks of -2"),
        ((2, 5), {"axis": 1}, "no scale or zero"),
        ((5,), {"axis": 1, "output_dtype": 2}, "output_dtype is u8, but the zero point is i8"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], attributes: dict[str, Any], message: str) -> None:
    x = np.zeros((2, 5, 7) if shape != (2, 2, 7) else (2, 9, 7), np.float32)
    inputs = {"x": x, "scale": scales(*shape), "zero": integers(np.int8, *shape)}
    with pytest.raises(Findings, match=message):
        run_model(node_model("QuantizeLinear", inputs, 21, **attributes), inputs)


@pytest.mark.parametrize("low", [-3.0, 0.0, 1.0])
def test_dynamic_range(low: float) -> None:
    x = RNG.uniform(low, low + 5, (3, 7)).astype(np.float32)
    agree_with_runtime("DynamicQuantizeLinear", {"x": x}, 11, results=3, rtol=0, atol=0)
    agree_with_runtime("DynamicQuantizeLinear", {"x": -x}, 11, results=3, rtol=0, atol=0)
    agree_with_runtime("DynamicQuantizeLinear", {"x": 0 * x}, 11, results=3, rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([np.int8, np.uint8]), st.sampled_from([np.int8, np.uint8]),
    st.integers(1, 9), st.integers(1, 70), st.integers(1, 9), st.booleans(), st.sampled_from([(), (1,), None]),
)  # fmt: skip
def test_integer_product(
    left: type[np.integer[Any]], right: type[np.integer[Any]],
    rows: int, depth: int, columns: int, by_column: bool, zero: Any,
) -> None:  # fmt: skip
    inputs: dict[str, Array | None] = {
        "a": integers(left, 2, rows, depth),
        "b": integers(right, depth, columns),
        "az": None if zero is None else integers(left, *zero),
        "bz": integers(right, columns) if by_column else integers(right),
    }
    agree_with_reference("MatMulInteger", inputs, 10)


def test_a_zero_for_each_row() -> None:
    a, b, zero = integers(np.uint8, 5, 7), integers(np.uint8, 7, 3), integers(np.uint8, 5)
    run = run_model(node_model("MatMulInteger", {"a": a, "b": b, "z": zero}, 10), {"a": a, "b": b, "z": zero})
    np.testing.assert_array_equal(run["y0"], (a.astype(np.int32) - zero[:, None]) @ b.astype(np.int32))


@pytest.mark.parametrize("zeros", [0, 1, 2])
@pytest.mark.parametrize("group", [1, 2])
def test_integer_convolution(zeros: int, group: int) -> None:
    x, w = integers(np.uint8, 2, 4, 7, 5), integers(np.uint8, 6, 4 // group, 3, 3)
    inputs: dict[str, Array | None] = {"x": x, "w": w}
    inputs |= dict([("xz", integers(np.uint8)), ("wz", integers(np.uint8))][:zeros])
    agree_with_runtime("ConvInteger", inputs, 10, pads=[1, 0, 1, 2], strides=[2, 1], group=group)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_quantized_convolution(dtype: type[np.integer[Any]], by_channel: bool, bias: bool) -> None:
    shape = (6,) if by_channel else ()
    inputs: dict[str, Array | None] = {
        "x": integers(dtype, 1, 3, 9, 8), "xs": scales(), "xz": integers(dtype),
        "_w": integers(np.int8, 6, 3, 3, 3), "_ws": scales(*shape), "_wz": np.zeros(shape, np.int8),
        "ys": scales(most=10), "yz": integers(dtype),
        "_b": RNG.integers(-5000, 5000, 6).astype(np.int32) if bias else None,
    }  # fmt: skip
    agree_with_runtime("QLinearConv", inputs, 10, rtol=0, atol=0, pads=[1, 1, 1, 1], strides=[1, 2])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantized_product(dtype: type[np.integer[Any]]) -> None:
    inputs = {
        "a": integers(dtype, 2, 5, 33), "as": scales(), "az": integers(dtype),
        "b": integers(np.int8, 33, 7), "bs": scales(), "bz": integers(np.int8),
        "ys": scales(most=10), "yz": integers(dtype),
    }  # fmt: skip
    agree_with_runtime("QLinearMatMul", inputs, 10, rtol=0, atol=0)
