"""Models before they are compiled: where they come from, what they take and give, and their graphs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glowpy.feeds import TENSOR, LooseSpec, Shapes, Spec, TensorSpec, bind_open
from glowpy.onnx.files import ModelFile, open_model
from glowpy.onnx.inputs import Bindings, declared_shape, free_inputs, symbol_name
from glowpy.onnx.model import parts_of
from glowpy.onnx.parts import Part, Parts
from glowpy.onnx.scope import input_key
from glowpy.onnx.weights import has_external_data, kind_of_code
from glowpy.shipped import shipped_model
from glowpy_ir.dims import Dim, symbol
from glowpy_ir.errors import Findings, UsageError
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.types import Array, TensorType

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

    from glowpy.staged import Import

SCHEME = "onnx:"
"""``onnx:resnet50`` names a network that the installed onnx package brings; see ``shipped``."""


@dataclass(frozen=True)
class Source:
    """A model, read but not compiled."""

    name: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    graph_for: Callable[[Shapes], Graph]
    """A new graph of the model for inputs of these shapes; Findings if it has to be run in parts."""
    parts_for: Callable[[Shapes], Import]
    """The same in parts, each with its graph."""
    is_whole: bool
    """Whether all that it consists of lies in its file."""

    @property
    def is_static(self) -> bool:
        return all(isinstance(spec, TensorSpec) and spec.type.is_static for spec in self.inputs)

    @property
    def shapes(self) -> Shapes:
        """Of the inputs; Unsupported if a dimension is open."""
        return tuple(spec.type.extents for spec in self.inputs if isinstance(spec, TensorSpec))


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
    file = read_model(model)
    bindings = Bindings.of(file.proto.graph, dims, shapes, values)
    brought = [value for value in free_inputs(file.proto.graph) if value.name not in values]
    inputs = tuple(_input(value, bindings) for value in brought)

    def opened(given: Shapes) -> Parts:
        known = dict(zip((spec.name for spec in inputs), given, strict=True))
        forms = {spec.name: known.pop(spec.name) for spec in inputs if isinstance(spec, LooseSpec)}
        return parts_of(file, dims, known, values, forms)  # type: ignore[arg-type]  # the specs tell which is which

    def graph_for(given: Shapes) -> Graph:
        return opened(given).whole()

    outputs = _outputs(file, inputs, bindings, graph_for)
    whole = not has_external_data(file.proto)
    return Source(file.name, inputs, outputs, graph_for, lambda given: opened(given).each(), whole)


def _outputs(
    file: ModelFile, inputs: tuple[Spec, ...], bindings: Bindings, graph_for: Callable[[Shapes], Graph]
) -> tuple[Spec, ...]:
    """The outputs as the model declares them; where it does not say what they are, as they are made."""
    declared = [_declared_output(value, bindings) for value in file.proto.graph.output]
    loose = [spec.form for spec in declared if isinstance(spec, LooseSpec)]
    if not loose or any(form != TENSOR for form in loose):
        return tuple(declared)
    try:
        bound, _ = bind_open(inputs, {})
        made = graph_for(tuple(spec.type.extents for spec in bound)).outputs
    except (Findings, UsageError):  # it is told when the model is compiled, unless knowing more helps
        return tuple(declared)
    return tuple(
        spec if isinstance(spec, TensorSpec) else TensorSpec(spec.name, _open_type(spec.name, result.type))
        for spec, result in zip(declared, made, strict=True)
    )


def _open_type(name: str, made: TensorType) -> TensorType:
    """The type of an output whose dimensions are not declared: each is a symbol."""
    return made.with_shape(*(symbol(f"{symbol_name(name)}_{axis}") for axis in range(made.rank)))


def _input(value: ValueInfoProto, bindings: Bindings) -> Spec:
    form = value.type.WhichOneof("value") or "tensor_type"
    open_rank = declared_shape(value) is None and value.name not in bindings.shapes
    if form != "tensor_type" or open_rank:
        return LooseSpec(value.name, form.removesuffix("_type"))
    return TensorSpec(value.name, bindings.type_of(value))


def _declared_output(value: ValueInfoProto, bindings: Bindings) -> Spec:
    shape = declared_shape(value)
    form = value.type.WhichOneof("value") or "tensor_type"
    code = value.type.tensor_type.elem_type
    if form != "tensor_type" or shape is None or not code:
        return LooseSpec(value.name, form.removesuffix("_type"))
    return TensorSpec(value.name, TensorType(kind_of_code(code), tuple(_dim(dim, bindings) for dim in shape)))


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
    return Source(graph.name, inputs, outputs, lambda _: copy_graph(graph), lambda _: _only_part(graph), False)


def _only_part(graph: Graph) -> Import:
    """A graph as a model in one part."""
    takes = tuple(input_key(value.name) for value in graph.inputs)
    names = tuple(graph.output_names)
    yield Part(copy_graph(graph), takes, names, results=names)


def read_model(model: str | os.PathLike[str] | bytes | ModelProto) -> ModelFile:
    """A model given by its path, as ``onnx:NAME``, by its bytes or as an object; UsageError if there is none."""
    if isinstance(model, str) and model.startswith(SCHEME):
        return ModelFile(shipped_model(model.removeprefix(SCHEME)), model, None)
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if not path.exists():
            raise UsageError(f"{path}: no such file")
        if path.is_dir():
            raise UsageError(f"{path} is a directory; expected an ONNX file")
        return open_model(path)
    return open_model(model)


def for_others(model: str) -> str | bytes:
    """A model that is given by its path or as ``onnx:NAME``, as other engines read it."""
    return shipped_model(model.removeprefix(SCHEME)).SerializeToString() if model.startswith(SCHEME) else model


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
        names = [value.name for value in node.outputs]
        results = builder.add_all(node.op, *inputs, names=names, regions=[*map(copy_graph, node.regions)])
        copies |= zip(node.outputs, results, strict=True)
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        copy.set_output(name, copies[value])
    return copy
