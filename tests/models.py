"""Small ONNX models that several tests use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of these parts, checked."""
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def tensor(name: str, shape: Sequence[int | str | None], type: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """The declaration of an input or an output."""
    return helper.make_tensor_value_info(name, type, shape)


def linear(rows: int | str = 2) -> onnx.ModelProto:
    """``y = relu(x @ w + b)`` with ``x: f32[rows,3]`` and ``y: f32[rows,4]``."""
    w = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
    b = np.array([0.5, -0.5, 1, -1], np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["xw", "b"], ["xwb"]),
        helper.make_node("Relu", ["xwb"], ["y"]),
    ]
    weights = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")]
    return model(nodes, [tensor("x", [rows, 3])], [tensor("y", [rows, 4])], weights)


def sum_and_product(size: int | str = "n") -> onnx.ModelProto:
    """``sum = left + right, product = left * right`` over ``f32[size]``."""
    nodes = [
        helper.make_node("Add", ["left", "right"], ["sum"]),
        helper.make_node("Mul", ["left", "right"], ["product"]),
    ]
    inputs = [tensor("left", [size]), tensor("right", [size])]
    return model(nodes, inputs, [tensor("sum", [size]), tensor("product", [size])])
