"""ONNX's backend interface."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt
from onnx_cases import compare, node_model

from glowpy import onnx_backend
from glowpy_ir.errors import Findings, UsageError

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("device", ["CPU", "CPU:0", "INTERPRETER"])
def test_inputs_by_order_and_by_name(device: str) -> None:
    prepared = onnx_backend.prepare(node_model("Sub", {"a": X, "b": X[:1]}, 13), device)
    for inputs in ([X, X[:1]], {"b": X[:1], "a": X}):
        compare(prepared.run(inputs)[0], X - X[:1])
    with pytest.raises(UsageError, match="input 'b' is missing"):
        prepared.run({"a": X})


def test_a_shape_that_is_an_input_specialises_the_model() -> None:
    prepared = onnx_backend.prepare(node_model("Reshape", {"x": X, "shape": np.array([6, 1])}, 13))
    for shape in ([6, 1], [3, 2], [6, 1], [-1, 1]):
        compare(prepared.run([X, np.array(shape)])[0], X.reshape(shape))


def test_a_single_node() -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"])
    compare(onnx_backend.run_node(node, [X, X])[0], X + X)
    old = {"opset_imports": [helper.make_opsetid("", 7)], "ir_version": 4}
    compare(onnx_backend.run_node(node, [X, X[0]], "INTERPRETER", **old)[0], X + X[0])


def test_faults_of_a_model_keep_their_name() -> None:
    with pytest.raises(Findings, match="no order"):
        onnx_backend.prepare(node_model("Transpose", {"x": X}, 13, perm=(0, 0)))


def test_what_is_not_supported_is_refused_in_the_suites_way() -> None:
    model = node_model("Cast", {"x": X}, 13, to=TensorProto.COMPLEX64)
    with pytest.raises(BackendIsNotSupposedToImplementIt, match="Cast 'y0': elements of type complex64"):
        onnx_backend.prepare(model)


def test_devices() -> None:
    assert onnx_backend.supports_device("CPU")
    assert onnx_backend.supports_device("interpreter")
    assert not onnx_backend.supports_device("CUDA")
