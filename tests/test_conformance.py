"""The standard's own test suite on the CPU backend: all cases of the installed onnx package that need no download."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, TypeProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt, Runner

from glowpy import onnx_backend

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")

NOT_PASSED = {
    "test_bernoulli": "its random numbers are only an example",
    "test_bernoulli_double": "its random numbers are only an example",
    "test_bernoulli_double_expanded": "its random numbers are only an example",
    "test_bernoulli_expanded": "its random numbers are only an example",
    "test_bernoulli_seed": "its random numbers are only an example",
    "test_bernoulli_seed_expanded": "its random numbers are only an example",
    "test_dft_inverse": "it expects the noise of single precision where the answer is zero",
    "test_dft_inverse_opset19": "it expects the noise of single precision where the answer is zero",
    "test_loop16_seq_none": "it compares the item of a sequence with the sequence",
}
"""The cases that are not passed, and why."""


def _cases() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    for case in cases:
        marks = [pytest.mark.xfail(reason=NOT_PASSED[case.name], strict=False)] if case.name in NOT_PASSED else []
        yield pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", list(_cases()))
def test_case(case: TestCase) -> None:
    model = case.model if case.model is not None else onnx.load(Path(str(case.model_dir), "model.onnx"))
    stored = case.data_sets if case.data_sets is not None else _stored(Path(str(case.model_dir)), model)
    try:
        prepared = onnx_backend.prepare(model)
        for inputs, expected in stored:
            results = prepared.run([_array(item) for item in inputs])
            Runner.assert_similar_outputs([_array(item) for item in expected], results, case.rtol, case.atol)
    except BackendIsNotSupposedToImplementIt as refusal:  # pytest would take it for a skipped test
        pytest.fail(str(refusal))


def _array(item: Any) -> Any:
    """NumPy has no name for all elements, so that some come as the standard's messages."""
    return numpy_helper.to_array(item) if isinstance(item, TensorProto) else item


def _stored(folder: Path, model: ModelProto) -> Iterator[tuple[list[Any], list[Any]]]:
    """The inputs and the outputs that lie beside a model."""
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = [_read(data / f"input_{i}.pb", value.type) for i, value in enumerate(_given(data, model))]
        yield inputs, [_read(data / f"output_{i}.pb", value.type) for i, value in enumerate(model.graph.output)]


def _given(data: Path, model: ModelProto) -> list[onnx.ValueInfoProto]:
    return list(model.graph.input)[: len(list(data.glob("input_*.pb")))]


def _read(file: Path, type: TypeProto) -> Any:
    content = file.read_bytes()
    match type.WhichOneof("value"):
        case "sequence_type":
            return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
        case "optional_type":
            return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
    array = numpy_helper.to_array(TensorProto.FromString(content))
    return np.asarray(array)
