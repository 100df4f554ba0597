"""The front door of the importer: a model in, a graph out, or all that is wrong with the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from onnx import IR_VERSION, GraphProto, ModelProto

from glowpy.onnx.files import ModelFile, open_model
from glowpy.onnx.folding import FoldingBuilder
from glowpy.onnx.functions import Functions, domain_of
from glowpy.onnx.importer import Hole, Importer, Place, Skip, clean_name
from glowpy.onnx.inputs import Bindings, contradicts, free_inputs
from glowpy.onnx.operators import tables
from glowpy.onnx.signatures import NEWEST_OPSET, OLDEST_OPSET
from glowpy.onnx.weights import Weights
from glowpy.passes.dead import remove_dead_nodes
from glowpy_ir.errors import BadModel, Findings, GlowError, Origin, TypeMismatch, Unsupported
from glowpy_ir.graph import Graph
from glowpy_ir.types import Array


def import_model(
    source: str | os.PathLike[str] | bytes | ModelProto | ModelFile,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, Array] | None = None,
) -> Graph:
    """The graph of an ONNX model.

    ``source`` is a path, the bytes of a file, a loaded model, or a file that is open already. ``dims`` gives values to
    named dimensions, ``shapes`` to all dimensions of an input; a dimension without a name is called after its input
    and axis (``x_0``). ``values`` fixes inputs to what is known of them now: they are no inputs of the graph.

    Raises BadModel if the file is no model, UsageError if what the caller gave does not fit it, and Findings with all
    that is wrong or unsupported otherwise.
    """
    file = open_model(source)
    model = file.proto
    bindings = Bindings.of(model.graph, dims or {}, shapes or {}, values or {})
    try:
        opsets = _opsets(model)
        functions = Functions.of(model)
    except GlowError as error:
        origin = Origin(file.name, model.graph.name, "graph")
        raise Findings(f"{file.name} cannot be imported:", [error.at(origin)]) from None
    graph = Graph(clean_name(model.graph.name) if model.graph.name else "main")
    importer = Importer(file.name, FoldingBuilder(graph), tables(), functions, Weights(file.folder, file.own))
    _import_graph(model.graph, importer, Place({}, opsets), bindings)
    if importer.findings:
        raise Findings(f"{file.name} cannot be imported:", importer.findings)
    remove_dead_nodes(graph)
    return graph


def _opsets(model: ModelProto) -> Mapping[str, int]:
    """The operator sets that the model imports; Unsupported if a version is out of range."""
    if model.ir_version > IR_VERSION:
        raise Unsupported(f"IR version {model.ir_version} is newer than {IR_VERSION}, the newest that is known")
    opsets: dict[str, int] = {}
    for entry in model.opset_import:
        if opsets.setdefault(domain_of(entry.domain), entry.version) != entry.version:
            raise BadModel(f"two versions of the operator set of domain '{entry.domain or 'ai.onnx'}' are imported")
    if not opsets:
        raise BadModel("the model does not say which operator set it uses")
    version = opsets.get("", NEWEST_OPSET)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise Unsupported(f"operator set {version} is not supported; {OLDEST_OPSET} to {NEWEST_OPSET} are")
    return opsets


def _import_graph(proto: GraphProto, importer: Importer, place: Place, bindings: Bindings) -> None:
    _add_inputs(proto, importer, place, bindings)
    importer.reserve([name for node in proto.node for name in node.output])
    importer.add_weights(proto, place)
    importer.add_nodes(proto.node, place)
    _add_outputs(proto, importer, place)


def _add_inputs(proto: GraphProto, importer: Importer, place: Place, bindings: Bindings) -> None:
    for value in free_inputs(proto):
        try:
            if not value.name or value.name in place.scope:
                raise BadModel("two inputs have this name" if value.name else "an input needs a name")
            place.scope[value.name] = Hole.FAILED
            type = bindings.type_of(value)
            if value.name in bindings.values:
                importer.define(place, value.name, importer.builder.constant(bindings.value_of(value.name, type)))
            else:
                place.scope[value.name] = importer.add_input(value.name, type)
        except GlowError as error:
            importer.report(error, value.name, "input")


def _add_outputs(proto: GraphProto, importer: Importer, place: Place) -> None:
    graph, names = importer.builder.graph, set[str]()
    if not proto.output:
        importer.report(BadModel("the model has no outputs"), proto.name, "graph")
    for output in proto.output:
        try:
            value = importer.value(place, output.name)
            if output.name in names:
                raise BadModel("two outputs have this name")
            names.add(output.name)
            if contradicts(output, value.type):
                raise TypeMismatch(f"the model declares another type than {value.type}")
            graph.set_output(output.name, value)
        except Skip:
            continue
        except GlowError as error:
            importer.report(error, output.name, "output")
