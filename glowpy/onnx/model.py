"""The front door of the importer: a model in, a graph out, or all that is wrong with the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnx import IR_VERSION, ModelProto

from glowpy.feeds import Form
from glowpy.onnx.files import ModelFile, open_model
from glowpy.onnx.functions import Functions, domain_of
from glowpy.onnx.inputs import Bindings
from glowpy.onnx.parts import Parts
from glowpy.onnx.signatures import NEWEST_OPSET, OLDEST_OPSET
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, Findings, GlowError, Origin, Unsupported
from glowpy_ir.graph import Graph
from glowpy_ir.types import Array


def import_model(
    source: str | os.PathLike[str] | bytes | ModelProto | ModelFile,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    values: Mapping[str, Array] | None = None,
) -> Graph:
    """The graph of an ONNX model.

    ``source`` is a path, the bytes of a file, a loaded model, or a file that is open already. ``dims`` gives values to
    named dimensions, ``shapes`` to all dimensions of an input; a dimension without a name is called after its input
    and axis (``x_0``). Shapes may hold expressions in symbols, which stay open. ``values`` fixes inputs to what is
    known of them now: they are no inputs of the graph.

    Raises BadModel if the file is no model, UsageError if what the caller gave does not fit it, and Findings with all
    that is wrong or unsupported otherwise.
    """
    return parts_of(source, dims, shapes, values).whole()


def parts_of(
    source: str | os.PathLike[str] | bytes | ModelProto | ModelFile,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, Sequence[Dim]] | None = None,
    values: Mapping[str, Array] | None = None,
    forms: Mapping[str, Form] | None = None,
) -> Parts:
    """The same, for a model that may have to be run in parts; ``forms`` says what inputs are that are no tensors."""
    file = open_model(source)
    model = file.proto
    bindings = replace(Bindings.of(model.graph, dims or {}, shapes or {}, values or {}), forms=forms or {})
    try:
        return Parts(file, _opsets(model), Functions.of(model), bindings)
    except GlowError as error:
        origin = Origin(file.name, model.graph.name, "graph")
        raise Findings(f"{file.name} cannot be imported:", [error.at(origin)]) from None


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
