"""Operators that choose elements by what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_runtime, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy.onnx.operators import selection
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(5)
X = RNG.integers(-1, 2, (3, 4, 5)).astype(np.float32)
KNOWN = ("x", "X", "condition", "boxes", "scores", "iou_threshold", "score_threshold", "input")


@pytest.mark.parametrize("case", node_cases(*{name for name, _ in selection.LOADERS}), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case, *KNOWN)


@pytest.mark.parametrize("x", [X, X[:, :0], X[0, 0, 0] + 1, X[0] == 0, X.astype(np.int32)], ids=str)
def test_non_zero(x: Array) -> None:
    x = np.asarray(x)
    expected = np.array(np.nonzero(x)) if x.ndim else np.zeros((0, int(x != 0)))
    compare(run_model(node_model("NonZero", {"_x": x}, 13), {})["y0"], expected.astype(np.int64))


@pytest.mark.parametrize("axis", [None, -1, 0, 1])
@pytest.mark.parametrize("length", [2, 3])
def test_compress(axis: int | None, length: int) -> None:
    attributes = {} if axis is None else {"axis": axis}
    condition = np.arange(length) % 2 == 0
    agree_with_runtime("Compress", {"x": X, "_c": condition}, 11, **attributes)


def test_a_condition_that_is_too_long_says_nothing_about_what_is_not_there() -> None:
    run = run_model(node_model("Compress", {"x": X, "_c": np.arange(9) != 1}, 11, axis=1), {"x": X})
    compare(run["y0"], X[:, [0, 2, 3]])


@pytest.mark.parametrize("in_order", [0, 1])
@pytest.mark.parametrize("axis", [None, -1, 0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, np.float64])
def test_unique(axis: int | None, in_order: int, dtype: type) -> None:
    attributes = {"sorted": in_order} | ({} if axis is None else {"axis": axis})
    x: Array = RNG.integers(0, 2, (4, 5, 2)).astype(dtype)
    x[2] = x[0]
    agree_with_runtime("Unique", {"_x": x}, 11, 4, **attributes)


@pytest.mark.parametrize("x", [X[0, 0, :0], X[0, 0, :1], np.array([np.nan, 2, np.nan, 1], np.float32)], ids=str)
def test_unique_of_nothing_of_one_and_of_nan(x: Array) -> None:
    run = run_model(node_model("Unique", {"_x": x}, 11, 4), {})
    for index, array in enumerate(np.unique(x, True, True, True)):
        np.testing.assert_array_equal(run[f"y{index}"], array)


@pytest.mark.parametrize("centered", [0, 1])
@pytest.mark.parametrize(("most", "overlap", "least"), [(0, 0.5, 0.1), (3, 0.5, None), (99, 0.2, 0.3), (9, None, None)])
def test_boxes(most: int, overlap: float | None, least: float | None, centered: int) -> None:
    boxes = RNG.random((2, 30, 4)).astype(np.float32)
    scores = (RNG.integers(0, 12, (2, 3, 30)) / 12).astype(np.float32)
    thresholds = {
        name: None if number is None else np.array([number], np.float32)
        for name, number in (("_overlap", overlap), ("_least", least))
    }
    operands = {"_boxes": boxes, "_scores": scores, "_most": np.array([most]), **thresholds}
    while next(reversed(operands.values())) is None:
        operands.popitem()
    agree_with_runtime("NonMaxSuppression", operands, 11, center_point_box=centered)


FAULTS = [
    ("Compress", {"x": X, "_c": X[0] > 0}, {}, "must be a list"),
    ("Compress", {"x": X, "_c": X[0, 0] > 0}, {"axis": 3}, "axis 3"),
    ("Unique", {"x": X}, {"axis": 3}, "axis 3"),
    ("NonMaxSuppression", {"b": X[..., :4], "s": X, "_n": np.array([1])}, {}, r"takes \[batch, n, 4\]"),
    ("NonMaxSuppression", {"b": X[..., :4], "s": X, "_n": np.array([1, 2])}, {}, "one number"),
    ("NonMaxSuppression", {"b": X[..., :4], "s": X[:, :, :4], "_n": np.array([1]), "t": X[0, 0]}, {}, "one number"),
]


@pytest.mark.parametrize(("operator", "operands", "attributes", "message"), FAULTS)
def test_fault_is_told(operator: str, operands: dict[str, Array], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(Findings, match=message):
        import_model(node_model(operator, operands, 18, 1, **attributes))
