"""Operators that pick elements by number, put them by number, or find the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy.onnx.operators import indexing
from glowpy_ir.errors import Findings, UsageError
from glowpy_ir.types import Array

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 4, 5)).astype(np.float32)

CASES = node_cases(*{name for name, _ in indexing.LOADERS if name != "Scatter"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case, "k", "K", "axis", "depth")


@pytest.mark.parametrize("axis", [-3, -1, 0, 1, 2])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("indices", [np.array(-1), np.array([], np.int64), np.array([[0, -2, 1]], np.int32)])
def test_gather(axis: int, known: bool, indices: Array) -> None:
    agree_with_reference("Gather", {"x": X, "_i" if known else "i": indices}, 13, axis=axis)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_gather_elements_of_part_of_the_other_axes(axis: int) -> None:
    indices = RNG.integers(-3, 3, (2, 3, 4))
    agree_with_runtime("GatherElements", {"x": X, "i": indices}, 13, axis=axis)


@pytest.mark.parametrize(("batch", "shape"), [(0, (2, 1)), (0, (4, 3, 3)), (1, (3, 6, 2)), (2, (3, 4, 1)), (1, (3, 1))])
def test_gather_nd(batch: int, shape: tuple[int, ...]) -> None:
    indices = RNG.integers(-3, 3, shape)
    agree_with_runtime("GatherND", {"x": X, "i": indices}, 13, batch_dims=batch)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_scatter_elements(reduction: str, axis: int) -> None:
    """Equal indices meet where that has a meaning."""
    indices = np.argsort(RNG.random(X.shape), axis) if reduction == "none" else RNG.integers(-3, 3, (2, 3, 4))
    updates = RNG.standard_normal(indices.shape).astype(np.float32)
    agree_with_runtime("ScatterElements", {"x": X, "i": indices, "u": updates}, 18, axis=axis, reduction=reduction)


PLACES = [[[2], [0], [-2]], [[2, 3], [0, 0], [-3, 1]], [[2, 3, 4], [0, 0, -1], [1, 2, 3]]]


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("places", PLACES)
def test_scatter_nd(reduction: str, places: list[list[int]]) -> None:
    """Equal indices meet where that has a meaning."""
    indices = np.array(places + ([] if reduction == "none" else places[:1]))
    updates = RNG.standard_normal((len(indices), *X.shape[indices.shape[1] :])).astype(np.float32)
    agree_with_runtime("ScatterND", {"x": X, "i": indices, "u": updates}, 18, reduction=reduction)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_one_hot(axis: int, dtype: type) -> None:
    indices: Array = np.array([[0, -1, 3], [5, 2, -6]], dtype)
    feeds = {"i": indices, "v": np.array([-1, 2], np.float32)}
    model = node_model("OneHot", {"i": indices, "_depth": np.array(5, np.int64), "v": feeds["v"]}, 11, axis=axis)
    places = np.where(indices < 0, indices + 5, indices)[..., None] == np.arange(5)
    expected = np.where(np.moveaxis(places, -1, axis), np.float32(2), np.float32(-1))
    compare(run_model(model, feeds)["y0"], expected)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-9, -1, 0, 2, 9])
@pytest.mark.parametrize("known", [True, False])
def test_trilu(upper: int, k: int, known: bool) -> None:
    agree_with_runtime("Trilu", {"x": X, "_k" if known else "k": np.array(k)}, 14, upper=upper)


@pytest.mark.parametrize("time", [0, 1])
def test_reverse_sequence(time: int) -> None:
    lengths = RNG.integers(1, X.shape[time] + 1, X.shape[1 - time])
    agree_with_runtime("ReverseSequence", {"x": X, "n": lengths}, 10, time_axis=time, batch_axis=1 - time)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cum_sum(axis: int, exclusive: int, reverse: int) -> None:
    operands = {"x": X, "_axis": np.array(axis, np.int32)}
    agree_with_runtime("CumSum", operands, 14, exclusive=exclusive, reverse=reverse)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cum_sum_of_nothing(exclusive: int, reverse: int) -> None:
    operands = {"x": X[:0], "_axis": np.array(0)}
    agree_with_runtime("CumSum", operands, 14, exclusive=exclusive, reverse=reverse)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_top_k_with_ties(axis: int, largest: int, dtype: type) -> None:
    x: Array = RNG.integers(0, 4, (3, 4, 5)).astype(dtype)
    operands = {"x": x, "_k": np.array([3], np.int64)}
    agree_with_runtime("TopK", operands, 11, 2, axis=axis, largest=largest)


@pytest.mark.parametrize(("exclusive", "reverse"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_cum_prod(exclusive: int, reverse: int) -> None:
    model = node_model("CumProd", {"x": X, "_axis": np.array(-2)}, 26, exclusive=exclusive, reverse=reverse)
    whole = np.flip(X, 1) if reverse else X
    shifted = np.concatenate((np.ones_like(whole[:, :1]), whole[:, :-1]), 1) if exclusive else whole
    expected = np.cumprod(shifted.astype(np.float64), 1).astype(np.float32)
    compare(run_model(model, {"x": X})["y0"], np.flip(expected, 1) if reverse else expected)


def test_top_k_by_attribute() -> None:
    agree_with_runtime("TopK", {"x": X}, 9, 2, k=2, axis=1)


def test_an_index_out_of_range_is_told() -> None:
    for index in (3, -4):
        feeds = {"x": X, "i": np.array([index])}
        with pytest.raises(UsageError, match="outside a dimension of 3"):
            run_model(node_model("Gather", {"x": X, "i": feeds["i"]}, 13), feeds)


FAULTS = [
    ("Gather", {"x": X, "i": np.array([0.5], np.float32)}, {}, "takes i32, i64"),
    ("Gather", {"x": X, "_i": np.array(7)}, {}, "axis 7|outside"),
    ("Gather", {"x": X, "i": np.array([1])}, {"axis": 3}, "axis 3"),
    ("GatherND", {"x": X, "i": np.zeros((2, 4), np.int64)}, {}, "must index dimensions"),
    ("ScatterND", {"x": X, "i": np.zeros((2, 1), np.int64), "u": X[:1]}, {}, "updates"),
    ("TopK", {"x": X, "_k": np.array([6])}, {}, "no 6 elements"),
    ("TopK", {"x": X, "_k": np.array([1, 2])}, {}, "one number"),
    ("TopK", {"x": X, "k": np.array([1])}, {}, "input 1 .* must be constant"),
    ("OneHot", {"i": np.array([1]), "_d": np.array(-1), "v": X[0, 0, :2]}, {}, "depth"),
    ("OneHot", {"i": np.array([1]), "_d": np.array(np.inf), "v": X[0, 0, :2]}, {}, "depth"),
    ("CumSum", {"x": X, "_a": np.array(3)}, {}, "axis 3"),
]


@pytest.mark.parametrize(("operator", "operands", "attributes", "message"), FAULTS)
def test_fault_is_told(
    operator: str, operands: dict[str, Array], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Findings, match=message):
        import_model(node_model(operator, operands, 18, 2 if operator == "TopK" else 1, **attributes))
