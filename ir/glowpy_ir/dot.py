"""Graphs as pictures: text for Graphviz' ``dot``."""

from __future__ import annotations

from collections.abc import Iterator

from glowpy_ir.graph import Constant, Graph, Node, Value


def to_dot(graph: Graph) -> str:
    """A box for each node, an ellipse for each input and output; edges carry types, constants stand inside boxes."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    ids: dict[Value, str] = {}
    yield f"digraph {_quoted(graph.name)} {{"
    yield '  node [shape=box, style=rounded, fontname="monospace", fontsize=10];'
    yield '  edge [fontname="monospace", fontsize=8];'
    for i, value in enumerate(graph.inputs):
        ids[value] = f"i{i}"
        yield f"  i{i} [shape=ellipse, label={_quoted(value.name)}];"
    for i, node in enumerate(graph.nodes):
        ids |= dict.fromkeys(node.outputs, f"n{i}")
        yield f"  n{i} [label={_quoted(_label(node))}];"
        yield from (_edge(ids[value], f"n{i}", value) for value in node.inputs if not isinstance(value, Constant))
    for i, (name, result) in enumerate(zip(graph.output_names, graph.outputs, strict=True)):
        yield f"  o{i} [shape=ellipse, label={_quoted(name)}];"
        if result in ids:
            yield _edge(ids[result], f"o{i}", result)
    yield "}"


def _label(node: Node) -> str:
    """The operator, its attributes and the types of its constants, a line each."""
    attributes = node.op.attribute_text().split()
    constants = (f"{value}: {value.type}" for value in node.inputs if isinstance(value, Constant))
    return "\n".join((node.op.name, *attributes, *constants))


def _edge(source: str, target: str, value: Value) -> str:
    return f"  {source} -> {target} [label={_quoted(str(value.type))}];"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\l")
    return f'"{escaped}"'
