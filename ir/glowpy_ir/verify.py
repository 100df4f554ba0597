"""The rules that every graph keeps between any two passes.

- Names are unique; an operand is an input, a constant or a result of an earlier node.
- The type of each result is what the operator infers from its operands.
- A value knows exactly the nodes that take it, and its producer makes it.
- Each output has a name and is made.
- The regions of a node keep these rules, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from glowpy_ir.errors import GlowError, InvalidIR
from glowpy_ir.graph import Graph, Node, Value
from glowpy_ir.infer import infer


def faults(graph: Graph) -> Iterator[GlowError]:
    """Every broken rule, with the node that breaks it."""
    for name, times in Counter(value.name for value in graph.values()).items():
        if times > 1:
            yield InvalidIR(f"{times} values are called %{name}")
    made: set[Value] = {*graph.inputs, *graph.constants}
    takers: dict[Value, set[Node]] = {value: set() for value in graph.values()}
    for node in graph.nodes:
        for i, value in enumerate(node.inputs):
            if value not in made:
                message = f"{node.op.parameter(i).name} of {node.outputs[0]} is {value}, which is not made before it"
                yield InvalidIR(message).at(node.origin)
            takers.setdefault(value, set()).add(node)
        made.update(node.outputs)
        yield from _node_faults(node)
        for region in node.regions:
            yield from faults(region)
    for value, nodes in takers.items():
        if set(value.users) != nodes:
            yield InvalidIR(f"{value} is used by {len(nodes)} nodes, but records {len(value.users)}")
    yield from (InvalidIR(f"output {value} is never made") for value in graph.outputs if value not in made)
    if len(graph.outputs) != len(graph.output_names):
        yield InvalidIR(f"{len(graph.outputs)} outputs have {len(graph.output_names)} names")


def _node_faults(node: Node) -> Iterator[GlowError]:
    yield from (
        InvalidIR(f"{value} does not know its producer").at(node.origin)
        for value in node.outputs
        if value.producer is not node
    )
    try:
        types = infer(node.op, *(v.type for v in node.inputs), regions=[region.signature for region in node.regions])
    except GlowError as error:
        yield error.at(node.origin)
        return
    if types != tuple(value.type for value in node.outputs):
        declared = ", ".join(str(value.type) for value in node.outputs)
        inferred = ", ".join(map(str, types))
        yield InvalidIR(f"{node.outputs[0]} is {declared}, but {node.op.name} gives {inferred}").at(node.origin)


def verify(graph: Graph) -> None:
    """Raise the first fault, with notes that tell the others."""
    if found := list(faults(graph)):
        for other in found[1:]:
            found[0].add_note(str(other))
        raise found[0]
