"""Graphs as pictures: text for Graphviz' ``dot``."""

from __future__ import annotations

from collections.abc import Iterator

from glowpy_ir.graph import Constant, Graph, Node, Value


def to_dot(graph: Graph) -> str:
    """A box for each node, an ellipse for each input and output; edges carry types, constants stand inside boxes.

    The regions of a node are drawn beside it, each in a frame.
    """
    body = ('  node [shape=box, style=rounded, fontname="monospace", fontsize=10];',
            '  edge [fontname="monospace", fontsize=8];', *_lines(graph, ""))  # fmt: skip
    return "\n".join((f"digraph {_quoted(graph.name)} {{", *body, "}")) + "\n"


def _lines(graph: Graph, prefix: str) -> Iterator[str]:
    ids: dict[Value, str] = {}
    for i, value in enumerate(graph.inputs):
        ids[value] = f"{prefix}i{i}"
        yield f"  {prefix}i{i} [shape=ellipse, label={_quoted(value.name)}];"
    for i, node in enumerate(graph.nodes):
        own = f"{prefix}n{i}"
        ids |= dict.fromkeys(node.outputs, own)
        yield f"  {own} [label={_quoted(_label(node))}];"
        yield from (_edge(ids[value], own, value) for value in node.inputs if not isinstance(value, Constant))
        for j, region in enumerate(node.regions):
            yield f"  subgraph cluster_{own}_{j} {{"
            yield f"  label={_quoted(f'{node.op.name} {node.outputs[0]}: {region.name}')};"
            yield from _lines(region, f"{own}_{j}_")
            yield "  }"
    for i, (name, result) in enumerate(zip(graph.output_names, graph.outputs, strict=True)):
        yield f"  {prefix}o{i} [shape=ellipse, label={_quoted(name)}];"
        if result in ids:
            yield _edge(ids[result], f"{prefix}o{i}", result)


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
