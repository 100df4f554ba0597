"""A compiled model behind the names of ONNX Runtime's InferenceSession, so that switching is one import."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from glowpy.api import compile
from glowpy.feeds import Spec, TensorSpec
from glowpy.specialise import Output
from glowpy_ir.errors import UsageError


@dataclass(frozen=True)
class NodeArg:
    """An input or an output as ONNX Runtime describes it."""

    name: str
    type: str
    shape: list[int | str]

    @classmethod
    def of(cls, spec: Spec) -> NodeArg:
        if not isinstance(spec, TensorSpec):
            return cls(spec.name, spec.form, [])
        code = onnx.helper.np_dtype_to_tensor_dtype(spec.dtype)
        return cls(spec.name, f"tensor({onnx.TensorProto.DataType.Name(code).lower()})", list(spec.shape))


class InferenceSession:
    """``glowpy.InferenceSession("m.onnx").run(None, {"x": x})``

    ``sess_options`` may be ONNX Runtime's SessionOptions or anything else with ``intra_op_num_threads``. UsageError if
    ``providers`` names none for CPUs.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: Any = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        if providers is not None and "CPUExecutionProvider" not in providers:
            raise UsageError(f"providers {list(providers)} are not there; glowpy runs on CPUs")
        self._model = compile(path_or_bytes, threads=getattr(sess_options, "intra_op_num_threads", None) or None)

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, object]) -> list[Output]:
        """The outputs in the order of ``output_names``, or of the model."""
        return self._model.run(output_names, input_feed)

    def get_inputs(self) -> list[NodeArg]:
        return [NodeArg.of(spec) for spec in self._model.inputs]

    def get_outputs(self) -> list[NodeArg]:
        return [NodeArg.of(spec) for spec in self._model.outputs]

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]
