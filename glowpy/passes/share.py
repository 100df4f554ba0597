"""Common subexpressions: what is computed twice is computed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from glowpy_ir.graph import Constant, Graph, Node, Value
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.movement import Pad
from glowpy_ir.text import digest
from glowpy_ir.types import Kind


def share_common_values(graph: Graph) -> bool:
    """Let equal constants be one, and equal operators at work on the same values."""
    constants = _share_constants(graph)
    return _share_nodes(graph) or constants


def _share_nodes(graph: Graph) -> bool:
    first: dict[Hashable, Node] = {}
    changed = False
    for node in graph.nodes:
        twin = first.setdefault(_key(node), node)
        if twin is not node:
            for old, new in zip(node.outputs, twin.outputs, strict=True):
                graph.replace(old, new)
            graph.remove(node)
            changed = True
    return changed


def _key(node: Node) -> Hashable:
    if node.regions:
        return node
    inputs = tuple(id(value) for value in node.inputs)
    if node.op.commutative and len(inputs) == 2:
        inputs = (min(inputs), max(inputs))
    sign = repr(node.op.value) if isinstance(node.op, Splat | Pad) else ""  # 0.0 == -0.0, but 1 / 0.0 != 1 / -0.0
    return node.op, sign, inputs


def _share_constants(graph: Graph) -> bool:
    alike: dict[Hashable, list[Constant]] = defaultdict(list)
    for value in graph.constants:
        if value.type.kind is not Kind.STRING:
            alike[value.type, value.data.flat[:16].tobytes()].append(value)
    changed = False
    for values in alike.values():
        if len(values) > 1:  # only now is it worth reading all elements
            changed |= _merge(graph, values)
    return changed


def _merge(graph: Graph, values: list[Constant]) -> bool:
    first: dict[str, Value] = {}
    changed = False
    for value in values:
        twin = first.setdefault(digest(value.data), value)
        if twin is not value:
            graph.replace(value, twin)
            graph.remove_constant(value)
            changed = True
    return changed
