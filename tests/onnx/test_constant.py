"""Constants, counts and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy.onnx.operators import constant
from glowpy_ir.errors import Findings
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.types import Array

X = np.zeros((2, 3, 5), np.float32)

CASES = node_cases(*{name for name, _ in constant.LOADERS if name != "Range"})


@pytest.mark.parametrize("case", [c for c in CASES if "expanded" not in c.name], ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case, "x")


VALUES: dict[str, tuple[Any, Array]] = {
    "value_int": (3, np.array(3)),
    "value_ints": ([3, -4], np.array([3, -4])),
    "value_float": (0.5, np.array(0.5, np.float32)),
    "value_floats": ([0.5, 2.0], np.array([0.5, 2], np.float32)),
    "value_string": ("a", np.array("a", object)),
    "value_strings": (["a", "ö"], np.array(["a", "ö"], object)),
}


@pytest.mark.parametrize("attribute", VALUES)
def test_constant_of_each_kind(attribute: str) -> None:
    given, expected = VALUES[attribute]
    compare(run_model(node_model("Constant", {}, 13, **{attribute: given}), {})["y0"], expected)


def test_a_large_splat_takes_no_memory() -> None:
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [2.5])
    operands: dict[str, Array | None] = {"_s": np.array([1 << 16, 1 << 15])}
    graph = import_model(node_model("ConstantOfShape", operands, 13, value=value))
    (node,) = graph.nodes
    assert node.op == Splat(2.5, graph.outputs[0].type.kind, (1 << 16, 1 << 15))


@pytest.mark.parametrize(("start", "end"), [(None, None), (1, None), (-1, None), (0, -1), (2, 1), (-9, 9)])
def test_shape(start: int | None, end: int | None) -> None:
    attributes = {name: n for name, n in (("start", start), ("end", end)) if n is not None}
    agree_with_runtime("Shape", {"x": X}, 15, **attributes)


RANGES = [(0, 5, 1), (3, 11, 3), (10, 1, -4), (5, 5, 1), (6, 5, 1), (1, 3, 0.5)]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("start", "limit", "delta"), RANGES)
def test_range(dtype: type, start: float, limit: float, delta: float) -> None:
    if dtype in (np.int64, np.int32) and delta == 0.5:
        delta = 2
    operands: dict[str, Array | None] = {
        name: np.array(n, dtype) for name, n in (("_start", start), ("_limit", limit), ("_delta", delta))
    }
    agree_with_runtime("Range", operands, 11)


@pytest.mark.parametrize("k", [-4, -1, 0, 2, 5])
def test_eye_like(k: int) -> None:
    agree_with_reference("EyeLike", {"x": X[0]}, 11, k=k, dtype=TensorProto.INT32)


FAULTS = [
    ("Constant", {}, {}, "exactly one value"),
    ("Constant", {}, {"value_int": 1, "value_float": 1.0}, "exactly one value"),
    ("Constant", {}, {"value_int": 1.5}, "must be int, but is float"),
    ("ConstantOfShape", {"_s": np.array([2, -3])}, {}, "cannot have the shape"),
    ("ConstantOfShape", {"_s": np.array([1 << 40, 1 << 40])}, {}, "GiB"),
    ("ConstantOfShape", {"s": np.array([2, 3])}, {}, "must be constant"),
    ("Range", {"_a": np.array(0), "_b": np.array(3), "_c": np.array(0)}, {}, "cannot advance"),
    ("Range", {"_a": np.array(0), "_b": np.array(1 << 62), "_c": np.array(1)}, {}, "GiB"),
    ("EyeLike", {"x": X}, {}, "needs a matrix"),
]


@pytest.mark.parametrize(("operator", "operands", "attributes", "message"), FAULTS)
def test_fault_is_told(
    operator: str, operands: dict[str, Array], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Findings, match=message):
        import_model(node_model(operator, operands, 18, **attributes))
