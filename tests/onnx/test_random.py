"""Operators that make random numbers: kinds and shapes, seeds, and the same numbers from native code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import check_case, compare, node_cases, node_model, run_model

import glowpy
from glowpy.onnx.model import import_model
from glowpy.onnx_backend import prepare
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

X = np.zeros((300, 401), np.float32)


@pytest.mark.parametrize("case", node_cases("Dropout"), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case, "r", "t")


MADE: list[tuple[str, dict[str, Array], dict[str, Any], type, tuple[int, ...]]] = [
    ("RandomNormal", {}, {"shape": [3, 5], "mean": 2.0}, np.float32, (3, 5)),
    ("RandomNormal", {}, {"shape": [7], "dtype": TensorProto.DOUBLE}, np.float64, (7,)),
    ("RandomUniform", {}, {"shape": [1], "low": 3.0, "high": 4.0}, np.float32, (1,)),
    ("RandomUniform", {}, {"shape": [2, 0]}, np.float32, (2, 0)),
    ("RandomNormalLike", {"x": X}, {}, np.float32, (300, 401)),
    ("RandomUniformLike", {"x": X.astype(np.int32)}, {"dtype": TensorProto.FLOAT16}, np.float16, (300, 401)),
    ("Bernoulli", {"x": X + np.float32(0.3)}, {"dtype": TensorProto.INT32}, np.int32, (300, 401)),
    ("Bernoulli", {"x": X.astype(np.float64)}, {}, np.float64, (300, 401)),
    ("Multinomial", {"x": X}, {"sample_size": 4}, np.int32, (300, 4)),
    ("Multinomial", {"x": X}, {"sample_size": 2, "dtype": TensorProto.INT64}, np.int64, (300, 2)),
]


@pytest.mark.parametrize(("operator", "operands", "attributes", "dtype", "shape"), MADE)
def test_made(
    operator: str, operands: dict[str, Array], attributes: dict[str, Any], dtype: type, shape: tuple[int, ...]
) -> None:
    """A seed gives the same numbers again, and others than no seed and than another seed."""
    unseeded, *seeded = (
        run_model(node_model(operator, operands, 17, **attributes, **seed), operands)["y0"]
        for seed in ({}, {"seed": 1.5}, {"seed": 1.5}, {"seed": -2.0})
    )
    for result in (unseeded, *seeded):
        assert (result.dtype, result.shape) == (dtype, shape)
    np.testing.assert_array_equal(seeded[0], seeded[1])
    if np.ptp(seeded[0]) if seeded[0].size > 1 else False:
        assert (seeded[0] != seeded[2]).any()
        assert (seeded[0] != unseeded).any()


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"])
def test_native_code_makes_the_same(operator: str) -> None:
    x = X + np.float32(0.25)
    model = node_model(operator, {"x": x}, 15)
    expected = run_model(model, {"x": x})["y0"]
    model.ir_version = 8
    compare(np.asarray(glowpy.compile(model, backend="cpu")(x)), expected, 1e-5, 2e-6)


@pytest.mark.parametrize("seed", [{}, {"seed": 3}])
def test_dropout_in_training(seed: dict[str, int]) -> None:
    operands = {"x": X + 1, "_r": np.array(0.25, np.float32), "_t": np.array(True)}
    run = run_model(node_model("Dropout", operands, 13, 2, **seed), {"x": X + 1})
    assert abs(run["y1"].mean() - 0.75) < 0.01
    compare(run["y0"], np.where(run["y1"], np.float32(4 / 3), np.float32(0)))


@pytest.mark.parametrize("seed", [{}, {"seed": 3.0}])
def test_each_iteration_of_a_loop_draws_others(seed: dict[str, float]) -> None:
    none = helper.make_empty_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["d"]),
            helper.make_node("RandomUniform", [], ["r"], shape=[5], **seed),
            helper.make_node("Add", ["r", "x"], ["s"]),
        ],
        "body",
        [
            helper.make_tensor_value_info(name, code, [])
            for name, code in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))
        ],
        [none("d"), none("s")],
    )
    model = node_model("Loop", {"_n": np.array(4), "_c": np.array(True)}, 17, body=body)
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [5]))
    (first,) = prepare(model).run([np.zeros(5, np.float32)])
    (second,) = prepare(model).run([np.zeros(5, np.float32)])
    np.testing.assert_array_equal(first, second)
    assert np.shape(first) == (4, 5)
    assert len(np.unique(np.asarray(first))) == 20


FAULTS = [
    ("RandomNormal", {}, {"shape": [3], "dtype": TensorProto.INT32}, "takes elements"),
    ("RandomUniform", {}, {"shape": [-3]}, "cannot have the shape"),
    ("Multinomial", {"x": X}, {"sample_size": 0}, "samples"),
    ("Multinomial", {"x": X}, {"sample_size": 1 << 50}, "too many"),
    ("Multinomial", {"x": X[0]}, {}, "rows of classes"),
    ("Dropout", {"x": X, "_r": np.array(1, np.float32), "_t": np.array(True)}, {}, r"\[0, 1\)"),
]


@pytest.mark.parametrize(("operator", "operands", "attributes", "message"), FAULTS)
def test_fault_is_told(operator: str, operands: dict[str, Array], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(Findings, match=message):
        import_model(node_model(operator, operands, 15, **attributes))
