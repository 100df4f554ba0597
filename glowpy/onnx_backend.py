"""glowpy behind ONNX's own backend interface, for the standard's test suite and for tools that speak it.

The graph is evaluated as it is imported, without compilation: this is the reference against which backends are
measured. A model is imported anew for inputs of new shapes; and if it cannot be imported without them, for new values
of small inputs, which may be shapes, axes or scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from glowpy.onnx.inputs import free_inputs
from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings, UsageError
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Graph
from glowpy_ir.types import Array

MOST_VALUES = 64
"""The most elements of an input that may be a shape."""


class Prepared(BackendRep):
    """A model that is ready to run."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._names = [value.name for value in free_inputs(model.graph)]
        self._graphs: dict[tuple[object, ...], Graph] = {}

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **kwargs: Any) -> tuple[Array, ...]:
        """The outputs, in the model's order, for inputs by name or in the model's order."""
        feeds = inputs if isinstance(inputs, Mapping) else dict(zip(self._names, inputs, strict=True))
        arrays = {name: np.asarray(feeds[name]) for name in self._names if name in feeds}
        if missing := [name for name in self._names if name not in arrays]:
            raise UsageError(f"input {missing[0]!r} is missing")
        return tuple(evaluate(self._graph_for(arrays), arrays))

    def _graph_for(self, arrays: Mapping[str, Array]) -> Graph:
        shapes = {name: array.shape for name, array in arrays.items()}
        values = {name: array for name, array in arrays.items() if array.ndim <= 1 and array.size <= MOST_VALUES}
        general = tuple(shapes.values())
        special = (general, *(array.tobytes() for array in values.values()))
        if general not in self._graphs and special not in self._graphs:
            try:
                self._graphs[general] = import_model(self._model, shapes=shapes)
            except Findings:
                self._graphs[special] = import_model(self._model, shapes=shapes, values=values)
        return self._graphs[general] if general in self._graphs else self._graphs[special]


class GlowpyBackend(Backend):
    """The interface that onnx.backend.test asks for."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The model; what is wrong with it shows when it runs, and the shapes of its inputs are known."""
        return Prepared(model)

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...] | None:
        raise NotImplementedError("run a model with this node instead")

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return bool(Device(device).type == DeviceType.CPU)


prepare = GlowpyBackend.prepare
run_model = GlowpyBackend.run_model
supports_device = GlowpyBackend.supports_device
