"""Models of one node of ai.onnx.ml, compared with what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx_cases import compare

from glowpy.onnx_backend import prepare
from glowpy_ir.types import Array


def ml_model(
    operator: str, inputs: Mapping[str, Array], version: int = 3, results: int = 1, **attributes: Any
) -> ModelProto:
    """A model of one node."""
    outputs = [f"y{i}" for i in range(results)]
    graph = helper.make_graph(
        [helper.make_node(operator, list(inputs), outputs, domain="ai.onnx.ml", **attributes)],
        operator,
        [helper.make_tensor_value_info(name, _code(array), array.shape) for name, array in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8)


def _code(array: Array) -> int:
    return TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)


def agree_with_runtime(
    operator: str,
    inputs: Mapping[str, Array],
    version: int = 3,
    results: int = 1,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    **attributes: Any,
) -> None:
    """Fail unless ONNX Runtime gives the same."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    model = ml_model(operator, inputs, version, results, **attributes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    _compare(model, inputs, session.run(None, dict(inputs)), rtol, atol)


def agree_with_reference(
    operator: str, inputs: Mapping[str, Array], version: int = 3, results: int = 1, **attributes: Any
) -> None:
    """Fail unless ONNX's own implementation gives the same."""
    model = ml_model(operator, inputs, version, results, **attributes)
    _compare(model, inputs, ReferenceEvaluator(model).run(None, dict(inputs)), 1e-4, 1e-5)


def _compare(model: ModelProto, inputs: Mapping[str, Array], expected: Sequence[Any], rtol: float, atol: float) -> None:
    """Run the model in parts if it has some."""
    actual = prepare(model).run(inputs)
    for one, other in zip(actual, expected, strict=True):
        compare(one, np.asarray(other), rtol, atol)
