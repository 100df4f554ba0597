"""The standard's own test cases for single nodes, made by the installed onnx package, and random models of one node."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case import node as cases
from onnx.backend.test.case.test_case import TestCase
from onnx.reference import ReferenceEvaluator

from glowpy.onnx.model import import_model
from glowpy_ir.evaluate import evaluate
from glowpy_ir.types import Array
from glowpy_ir.verify import verify


def node_cases(*operators: str) -> list[TestCase]:
    """The cases of these operators; importing a module of cases makes them, so that only the needed ones are."""
    wanted = {operator.lower() for operator in operators}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for module in pkgutil.iter_modules(cases.__path__):
            if module.name.replace("_", "") in wanted:
                importlib.import_module(f"{cases.__name__}.{module.name}")
    found = {case.name: case for case in cases._NodeTestCases if _operators(case) <= wanted and _is_in_scope(case)}
    missing = wanted - {operator for case in found.values() for operator in _operators(case)}
    assert not missing, f"no cases for {missing}"
    return list(found.values())


def _operators(case: TestCase) -> set[str]:
    assert case.model is not None
    return {node.op_type.lower() for node in case.model.graph.node}


def _is_in_scope(case: TestCase) -> bool:
    assert case.model is not None
    no_kinds = ("INT2", "FLOAT4", "FLOAT6", "E8M0")
    return not any(name in case.name.upper() for name in no_kinds)


def check_case(case: TestCase, *constants: str) -> None:
    """Import the model of a case, and compare the graph's meaning with the results that the standard gives.

    Inputs called as in ``constants`` become constants, as do lists of integers.
    """
    for inputs, results in case.data_sets or ():
        model = ModelProto()
        model.CopyFrom(case.model)
        names = [value.name for value in model.graph.input]
        feeds = {name: _array(data) for name, data in zip(names, inputs, strict=True)}
        for index, name in reversed(list(enumerate(names))):
            is_list = index and feeds[name].ndim == 1 and feeds[name].dtype == np.int64  # such as axes or sizes
            if is_list or name in constants:
                del model.graph.input[index]
                model.graph.initializer.append(_tensor(name, feeds.pop(name)))
        run = run_model(model, feeds)
        for name, expected in zip((o.name for o in model.graph.output), map(_array, results), strict=True):
            rounding = 2**-7 if expected.dtype == ml_dtypes.bfloat16 else 0
            compare(run[name], expected, max(case.rtol, rounding), case.atol)


def _array(data: object) -> Array:
    return numpy_helper.to_array(data) if isinstance(data, TensorProto) else np.asarray(data)


def run_model(model: ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The results of the imported model, by name; runtime warnings are errors."""
    graph = import_model(model, shapes={name: array.shape for name, array in inputs.items()})
    verify(graph)
    feeds = dict(zip((value.name for value in graph.inputs), inputs.values(), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return dict(zip(graph.output_names, evaluate(graph, feeds), strict=True))


def compare(actual: Array, expected: Array, rtol: float = 1e-5, atol: float = 1e-7) -> None:
    """Fail unless the arrays agree in shape, type and, within the tolerance, elements."""
    assert actual.shape == expected.shape
    if expected.dtype.kind in "OUS":
        assert actual.astype(str).tolist() == expected.astype(str).tolist()
        return
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual.astype(np.float64), expected.astype(np.float64), rtol, atol)


def node_model(
    operator: str, inputs: Mapping[str, Array | None], opset: int, results: int = 1, **attributes: Any
) -> ModelProto:
    """A model of one node. Inputs whose names start with an underscore become constants; None is one left out."""
    names = ["" if array is None else name for name, array in inputs.items()]
    outputs = [f"y{i}" for i in range(results)]
    given = {name: array for name, array in inputs.items() if array is not None}
    graph = helper.make_graph(
        [helper.make_node(operator, names, outputs, **attributes)],
        operator,
        [_value_info(name, a) for name, a in given.items() if not name.startswith("_")],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [_tensor(name, array) for name, array in given.items() if name.startswith("_")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def agree_with_reference(
    operator: str,
    inputs: Mapping[str, Array | None],
    opset: int,
    results: int = 1,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    **attributes: Any,
) -> None:
    """Compare the meaning of one imported node with ONNX's reference implementation."""
    model = node_model(operator, inputs, opset, results, **attributes)
    feeds = _feeds(inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = ReferenceEvaluator(model).run(None, feeds)
    run = run_model(model, feeds)
    for index, array in enumerate(expected):
        compare(run[f"y{index}"], np.asarray(array), rtol, atol)


def agree_with_runtime(
    operator: str,
    inputs: Mapping[str, Array | None],
    opset: int,
    results: int = 1,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    **attributes: Any,
) -> None:
    """Compare the meaning of one imported node with what ONNX Runtime computes."""
    model = node_model(operator, inputs, opset, results, **attributes)
    model.ir_version = 8  # newer ones are known to newer versions of ONNX Runtime only
    feeds = _feeds(inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = run_model(model, feeds)
    for index, array in enumerate(session.run(None, feeds)):
        compare(run[f"y{index}"], array, rtol, atol)


def _feeds(inputs: Mapping[str, Array | None]) -> dict[str, Array]:
    return {name: array for name, array in inputs.items() if array is not None and not name.startswith("_")}


def _value_info(name: str, array: Array) -> Any:
    return helper.make_tensor_value_info(name, _code(array), array.shape)


def _tensor(name: str, array: Array) -> TensorProto:
    return helper.make_tensor(name, _code(array), array.shape, array.tobytes(), raw=True)


def _code(array: Array) -> int:
    if array.dtype == ml_dtypes.bfloat16:
        return TensorProto.BFLOAT16
    return helper.np_dtype_to_tensor_dtype(array.dtype)
