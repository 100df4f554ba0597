"""Dead nodes: what nobody uses is not computed."""

from __future__ import annotations

from glowpy_ir.graph import Graph


def remove_dead_nodes(graph: Graph) -> bool:
    """Take out the nodes and the constants on which no output depends."""
    outputs = set(graph.outputs)
    dead = 0
    for node in reversed(list(graph.nodes)):
        if not any(value.users or value in outputs for value in node.outputs):
            graph.remove(node)
            dead += 1
    for value in graph.constants:
        if not value.users and value not in outputs:
            graph.remove_constant(value)
            dead += 1
    return dead > 0
