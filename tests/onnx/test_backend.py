"""ONNX's backend interface over the importer."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_cases import compare, node_model

from glowpy import onnx_backend
from glowpy_ir.errors import Findings, UsageError

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_inputs_by_order_and_by_name() -> None:
    prepared = onnx_backend.prepare(node_model("Sub", {"a": X, "b": X[:1]}, 13))
    for inputs in ([X, X[:1]], {"b": X[:1], "a": X}):
        compare(prepared.run(inputs)[0], X - X[:1])
    with pytest.raises(UsageError, match="input 'b' is missing"):
        prepared.run({"a": X})


def test_a_shape_that_is_an_input_specialises_the_model() -> None:
    prepared = onnx_backend.prepare(node_model("Reshape", {"x": X, "shape": np.array([6, 1])}, 13))
    for shape in ([6, 1], [3, -1], [6, 1], [1, 6]):
        compare(prepared.run([X, np.array(shape)])[0], X.reshape(shape))


def test_faults_are_told() -> None:
    with pytest.raises(Findings, match="no order"):
        onnx_backend.prepare(node_model("Transpose", {"x": X}, 13, perm=(0, 0))).run([X])


def test_devices() -> None:
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA")
