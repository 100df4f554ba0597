"""Brings nodes into an order in which they can run, and names the cycles of those that cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx import GraphProto, NodeProto


@dataclass(frozen=True)
class Order:
    """Nodes that can run one after the other, and the groups of nodes that wait for each other."""

    nodes: list[NodeProto]
    cycles: list[list[NodeProto]]


def label(node: NodeProto) -> str:
    """A name for a node: its own, else that of its first result."""
    return node.name or next((name for name in node.output if name), node.op_type)


def captured(graph: GraphProto) -> Iterator[str]:
    """The names that a nested graph takes from outside."""
    own = {value.name for value in (*graph.input, *graph.initializer)}
    own |= {tensor.values.name for tensor in graph.sparse_initializer}
    own |= {name for node in graph.node for name in node.output}
    taken = [name for node in graph.node for name in names_read(node)]
    yield from (name for name in (*taken, *(value.name for value in graph.output)) if name not in own)


def names_read(node: NodeProto) -> Iterator[str]:
    """The names of all values that a node needs, for itself and for its nested graphs."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from captured(graph)


def in_order(nodes: Sequence[NodeProto]) -> Order:
    """The nodes, each after those whose results it reads; as they stand if that is so already."""
    makers = {name: index for index, node in reversed(list(enumerate(nodes))) for name in node.output if name}
    needs = [{makers[name] for name in names_read(node) if name in makers} for node in nodes]
    if all(max(before, default=-1) < index for index, before in enumerate(needs)):
        return Order(list(nodes), [])
    return _sorted(nodes, needs)


def _sorted(nodes: Sequence[NodeProto], needs: Sequence[set[int]]) -> Order:
    import networkx as nx  # takes long to load, and few models need it

    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(nodes)))
    graph.add_edges_from((before, after) for after, befores in enumerate(needs) for before in befores)
    knots = [knot for knot in nx.strongly_connected_components(graph) if len(knot) > 1 or _loops(graph, knot)]
    cycles = [[nodes[edge[0]] for edge in nx.find_cycle(graph.subgraph(knot))] for knot in knots]
    graph.remove_nodes_from({index for knot in knots for index in knot})
    return Order([nodes[index] for index in nx.lexicographical_topological_sort(graph)], cycles)


def _loops(graph: object, knot: set[int]) -> bool:
    (node,) = knot
    return bool(graph.has_edge(node, node))  # type: ignore[attr-defined]
