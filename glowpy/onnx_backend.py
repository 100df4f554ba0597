"""glowpy behind ONNX's own backend interface, for the standard's test suite and for tools that speak it.

The device chooses the backend: ``CPU`` is the native one, and ``INTERPRETER`` the one in NumPy. What cannot be compiled
is refused with BackendIsNotSupposedToImplementIt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

from glowpy.api import compile
from glowpy.model import Model
from glowpy.specialise import Output
from glowpy_ir.errors import Findings, Unsupported

BACKENDS = {"CPU": "cpu", "INTERPRETER": "interpreter"}
"""By device."""


class Prepared(BackendRep):
    """A model that is ready to run."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **kwargs: Any) -> tuple[Output, ...]:
        """The outputs, in the model's order, for inputs by name or in the model's order."""
        names = [spec.name for spec in self._model.inputs]
        feeds = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=True))
        try:
            return tuple(self._model.run(None, feeds))
        except (Findings, Unsupported) as error:
            raise _refusal(error) from error


class GlowpyBackend(Backend):
    """The interface that onnx.backend.test asks for."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The model, compiled if its dimensions are known; else what is unsupported shows when it runs."""
        try:
            return Prepared(compile(model, backend=BACKENDS[_device(device)]))
        except (Findings, Unsupported) as error:
            raise _refusal(error) from error

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Output, ...]:
        """The results of one node; its operator sets are the newest, or those of ``opset_imports``."""
        arrays = [np.asarray(array) for array in inputs]
        names = [name for name in node.input if name]
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        made = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output if name]
        graph = helper.make_graph([node], node.op_type, given, made)
        options = {name: kwargs[name] for name in ("opset_imports", "ir_version") if name in kwargs}
        return cls.prepare(helper.make_model(graph, **options), device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return _device(device) in BACKENDS


def _device(device: str) -> str:
    """Without its number: there is one of each."""
    return device.partition(":")[0].upper()


def _refusal(error: Exception) -> Exception:
    """A model that is faulty keeps its own error; what is only unsupported gets the suite's."""
    if isinstance(error, Findings) and not all(isinstance(finding, Unsupported) for finding in error.findings):
        return error
    return BackendIsNotSupposedToImplementIt(str(error))


prepare = GlowpyBackend.prepare
run_model = GlowpyBackend.run_model
run_node = GlowpyBackend.run_node
supports_device = GlowpyBackend.supports_device
