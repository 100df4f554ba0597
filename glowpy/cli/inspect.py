"""``glowc inspect``: what is in a model, and what stands in the way of compiling it."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TypeProto

from glowpy.cli.failure import grouped
from glowpy.cli.opening import read_source
from glowpy.cli.report import assumed_text, show_json
from glowpy.cli.table import plural, render
from glowpy.feeds import Spec, bind_open
from glowpy.onnx.weights import kind_of_code
from glowpy.source import read_model
from glowpy_ir.errors import Findings, GlowError


def run(options: argparse.Namespace) -> int:
    """Say what the file declares, count what it holds, and import it to find all problems at once."""
    file = read_model(options.model)
    source = read_source(options)
    facts = _facts(file.proto, source.inputs) | {"assumed": {}, "whole": False, "problems": []}
    code = 0
    try:
        inputs, facts["assumed"] = bind_open(source.inputs, {})
        part = next(source.parts_for(tuple(spec.type.extents for spec in inputs)))
        facts["whole"] = part.results == part.gives
    except Findings as error:
        facts["problems"] = list(map(str, error.findings)) if options.verbose else grouped(error.findings)
        code = error.code
    except GlowError as error:
        facts["problems"] = [str(error)]
        code = error.exit_code
    if options.json:
        show_json({"model": file.name} | facts)
    elif not options.quiet:
        print(_text(file.name, facts))
    return code


def _facts(model: ModelProto, inputs: Sequence[Spec]) -> dict[str, Any]:
    """What the file says, before anything is made of it."""
    graph = model.graph
    nodes = list(_nodes(graph))
    counts = Counter((f"{node.domain}::" if node.domain else "") + node.op_type for node in nodes)
    weights = [tensor for nested in _graphs(graph) for tensor in nested.initializer]
    weights += [attribute.t for node in nodes for attribute in node.attribute if node.op_type == "Constant"]
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "inputs": dict(str(spec).split(": ", 1) for spec in inputs),
        "outputs": {value.name: _type_text(value.type) for value in graph.output},
        "weights": len(weights),
        "parameters": sum(math.prod(tensor.dims) for tensor in weights),
        "nodes": len(nodes),
        "operators": dict(counts.most_common()),
    }


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph, and all that are nested in its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for nested in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(nested)


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for nested in _graphs(graph):
        yield from nested.node


def _type_text(type: TypeProto) -> str:
    """The declared type in the notation of the IR, ``?`` for what is left open."""

    if type.WhichOneof("value") != "tensor_type":
        return str(type.WhichOneof("value") or "unknown").removesuffix("_type")
    tensor = type.tensor_type
    try:
        kind = kind_of_code(tensor.elem_type).value
    except GlowError:
        kind = f"type {tensor.elem_type}"
    if not tensor.HasField("shape"):
        return f"{kind} of any shape"
    dims = (str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?" for dim in tensor.shape.dim)
    return f"{kind}[{','.join(dims)}]"


def _text(name: str, facts: dict[str, Any]) -> str:

    opsets = ", ".join(f"{domain} {version}" for domain, version in facts["opsets"].items())
    lines = [
        f"{name}: {plural(facts['nodes'], 'node')}, {facts['parameters']:,} parameters in {facts['weights']} tensors",
        f"  operator sets {opsets}; IR version {facts['ir_version']}; made by {facts['producer'] or 'unknown'}",
        render([(what[:-1], *item) for what in ("inputs", "outputs") for item in facts[what].items()], indent="  "),
        render([(str(count), name) for name, count in facts["operators"].items()], ("nodes", "operator"), "  "),
    ]
    if facts["assumed"]:
        lines.append(assumed_text(facts["assumed"]))
    if facts["problems"]:
        lines += [f"{plural(len(facts['problems']), 'problem')}:", *(f"  {problem}" for problem in facts["problems"])]
    elif facts["whole"]:
        lines.append("no problems: the model can be imported")
    else:
        lines.append("no problems: the model can be imported part by part, as data decide when it runs")
    return "\n".join(lines)
