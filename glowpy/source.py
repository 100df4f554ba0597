"""Models before they are compiled: where they come from, what they take and give, and their graphs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glowpy.feeds import TensorSpec, bind_open
from glowpy.onnx.files import ModelFile, open_model
from glowpy.onnx.inputs import Bindings, declared_shape, free_inputs, symbol_name
from glowpy.onnx.model import import_model
from glowpy.onnx.weights import kind_of_code
from glowpy_ir.dims import Dim, symbol
from glowpy_ir.errors import UsageError
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.types import Array, TensorType

if TYPE_CHECKING:
    from onnx import ModelProto

SCHEME = "onnx:"
"""``onnx:resnet50`` names a network that lies in the installed onnx package: real graphs, with made-up weights."""

Shapes = tuple[tuple[int, ...], ...]
"""The shape of each input, in the model's order."""


@dataclass(frozen=True)
class Source:
    """A model, read but not compiled."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    graph_for: Callable[[Shapes], Graph]
    """A new graph of the model for inputs of these shapes."""

    @property
    def is_static(self) -> bool:
        return all(spec.type.is_static for spec in self.inputs)

    @property
    def shapes(self) -> Shapes:
        """Of the inputs; Unsupported if a dimension is open."""
        return tuple(spec.type.extents for spec in self.inputs)


def open_source(
    model: str | os.PathLike[str] | bytes | ModelProto | Graph,
    dims: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
    values: Mapping[str, Array],
) -> Source:
    """Read a model and bind what its inputs leave open: dimensions by name, shapes, or the values of whole inputs.

    UsageError if there is no such model, dimension or input, BadModel if the file is no model.
    """
    if isinstance(model, Graph):
        return _graph_source(model, {*dims, *shapes, *values})
    file = open_model(locate(model) if isinstance(model, str | os.PathLike) else model)
    bindings = Bindings.of(file.proto.graph, dims, shapes, values)
    brought = [value for value in free_inputs(file.proto.graph) if value.name not in values]
    inputs = tuple(TensorSpec(value.name, bindings.type_of(value)) for value in brought)

    def graph_for(given: Shapes) -> Graph:
        bound = {spec.name: shape for spec, shape in zip(inputs, given, strict=True)}
        return import_model(file, dims, bound, values)

    return Source(file.name, inputs, _outputs(file, inputs, bindings, graph_for), graph_for)


def _outputs(
    file: ModelFile, inputs: tuple[TensorSpec, ...], bindings: Bindings, graph_for: Callable[[Shapes], Graph]
) -> tuple[TensorSpec, ...]:
    """The outputs as the model declares them; where it does not say how many dimensions there are, as they are made."""
    declared = file.proto.graph.output
    shapes = [declared_shape(value) for value in declared]
    if None in shapes:
        bound, _ = bind_open(inputs, {})
        made = graph_for(tuple(spec.type.extents for spec in bound)).outputs
        shapes = [
            shape or tuple(f"{value.name}_{axis}" for axis in range(result.type.rank))
            for shape, value, result in zip(shapes, declared, made, strict=True)
        ]
    kinds = [kind_of_code(value.type.tensor_type.elem_type) for value in declared]
    return tuple(
        TensorSpec(value.name, TensorType(kind, tuple(_dim(dim, bindings) for dim in shape or ())))
        for value, kind, shape in zip(declared, kinds, shapes, strict=True)
    )


def _dim(dim: int | str, bindings: Bindings) -> Dim:
    known = dim if isinstance(dim, int) else bindings.dims.get(dim)
    return symbol(symbol_name(str(dim))) if known is None else known


def _graph_source(graph: Graph, bound: Collection[str]) -> Source:
    if bound:
        raise UsageError(
            f"only an ONNX model can be bound ({min(bound)}); build the graph with the shapes it shall have"
        )
    inputs = tuple(TensorSpec(value.name, value.type) for value in graph.inputs)
    outputs = tuple(TensorSpec(name, value.type) for name, value in zip(graph.output_names, graph.outputs, strict=True))
    return Source(graph.name, inputs, outputs, lambda _: copy_graph(graph))


def locate(model: str | os.PathLike[str]) -> Path:
    """The file of a model that is given by its path or as ``onnx:NAME``; UsageError if there is none."""
    text = os.fspath(model)
    if text.startswith(SCHEME):
        return _shipped(text.removeprefix(SCHEME))
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{text}: no such file")
    if path.is_dir():
        raise UsageError(f"{text} is a directory; expected an ONNX file")
    return path


def shipped_models() -> dict[str, Path]:
    """The networks in the onnx package, by the name that ``onnx:`` takes."""
    spec = find_spec("onnx")  # finds the package without importing it
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    files = (file for folder in folders for file in Path(folder, "backend/test/data/light").glob("light_*.onnx"))
    return {file.stem.removeprefix("light_"): file for file in sorted(files)}


def _shipped(name: str) -> Path:
    models = shipped_models()
    if name not in models:
        raise UsageError(f"no model {SCHEME}{name}; the onnx package brings: {', '.join(models) or 'none'}")
    return models[name]


def copy_graph(graph: Graph) -> Graph:
    """A graph that can be changed without changing ``graph``; the elements of constants are shared."""
    copy = Graph(graph.name)
    builder = Builder(copy)
    copies: dict[Value, Value] = {value: builder.placeholder(value.name, value.type) for value in graph.inputs}
    for constant in graph.constants:
        copies[constant] = builder.constant(constant.data, constant.name, constant.type)
    for node in graph.nodes:
        builder.origin = node.origin
        inputs = (copies[value] for value in node.inputs)
        results = builder.add_all(node.op, *inputs, names=[value.name for value in node.outputs])
        copies |= zip(node.outputs, results, strict=True)
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        copy.set_output(name, copies[value])
    return copy
