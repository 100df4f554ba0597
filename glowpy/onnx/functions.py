"""Functions: what stands in a node's place when the operator is defined by other operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TypeProto
from onnx.defs import OpSchema

from glowpy.onnx.weights import KINDS
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.types import TensorType

Key = tuple[str, str, str]
"""Domain, name and overload of a function."""

MOST_NODES = 200_000
MOST_DEPTH = 50
"""What is larger or deeper, once all functions stand in place of their calls, is refused."""

_CODES = {kind: code for code, kind in KINDS.items()}


def key_of(item: NodeProto | FunctionProto) -> Key:
    """The function that a node calls, or that this is."""
    name = item.op_type if isinstance(item, NodeProto) else item.name
    return domain_of(item.domain), name, item.overload


def domain_of(domain: str) -> str:
    """The standard's own domain has two spellings."""
    return "" if domain == "ai.onnx" else domain


@dataclass(frozen=True)
class Extent:
    """How much a call of a function becomes."""

    nodes: int
    depth: int


@dataclass(frozen=True)
class Functions:
    """The functions of a model."""

    by_key: Mapping[Key, FunctionProto]

    @classmethod
    def of(cls, model: ModelProto) -> Self:
        """All functions; BadModel if two are the same, Unsupported if they nest without end or become too large."""
        functions = cls({key_of(function): function for function in model.functions})
        if len(functions.by_key) < len(model.functions):
            raise BadModel("two functions have the same domain, name and overload")
        extents: dict[Key, Extent] = {}
        for key in functions.by_key:
            functions._measure(key, extents)
        leaf = Extent(1, 0)
        calls = [extents.get(key_of(node), leaf) for node in _all_nodes(model.graph.node)]
        nodes, depth = sum(call.nodes for call in calls), max((call.depth for call in calls), default=0)
        if nodes > MOST_NODES or depth > MOST_DEPTH:
            raise Unsupported(f"functions become {nodes} nodes, {depth} deep; at most {MOST_NODES}, {MOST_DEPTH} deep")
        return functions

    def _measure(self, start: Key, extents: dict[Key, Extent]) -> None:
        """Fill in the extent of ``start`` and of all that it calls; without recursion, since calls may nest deeply."""
        open_calls: list[Key] = [start]
        while open_calls:
            key = open_calls[-1]
            calls = [key_of(node) for node in _all_nodes(self.by_key[key].node)]
            waiting = next((call for call in calls if call in self.by_key and call not in extents), None)
            if waiting is None:
                inner = [extents.get(call, Extent(1, 0)) for call in calls]
                extents[key] = Extent(1 + sum(e.nodes for e in inner), 1 + max((e.depth for e in inner), default=0))
                open_calls.pop()
            elif waiting in open_calls:
                cycle = [*open_calls[open_calls.index(waiting) :], waiting]
                raise Unsupported(f"functions call themselves: {' -> '.join(name for _, name, _ in cycle)}")
            else:
                open_calls.append(waiting)


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g.node)
            for graph in attribute.graphs:
                yield from _all_nodes(graph.node)


def body_of(function: FunctionProto, given: Iterable[AttributeProto]) -> list[NodeProto]:
    """The function's nodes with the attributes of a call put in; one that has no value is left out."""
    attributes = {attribute.name: attribute for attribute in (*function.attribute_proto, *given)}
    declared = {*function.attribute, *(attribute.name for attribute in function.attribute_proto)}
    for node in _all_nodes(function.node):
        for attribute in node.attribute:
            if attribute.ref_attr_name and attribute.ref_attr_name not in declared:
                raise BadModel(f"function {function.name} has no attribute '{attribute.ref_attr_name}'")
    return [_with_attributes(node, attributes) for node in function.node]


def _with_attributes(node: NodeProto, given: Mapping[str, AttributeProto]) -> NodeProto:
    if not any(a.ref_attr_name or a.HasField("g") or a.graphs for a in node.attribute):
        return node
    result = NodeProto()
    result.CopyFrom(node)
    del result.attribute[:]
    for attribute in node.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is None:
            continue
        added = result.attribute.add()
        added.CopyFrom(source)
        added.name = attribute.name
        for graph in (*([added.g] if added.HasField("g") else []), *added.graphs):
            nodes = [_with_attributes(inner, given) for inner in graph.node]
            del graph.node[:]
            graph.node.extend(nodes)
    return result


def standard_function(
    schema: OpSchema, opset: int, node: NodeProto, operands: Sequence[TensorType | None]
) -> FunctionProto | None:
    """The standard's own definition of an operator by other operators, if it has one for such operands."""
    bodies: Any = schema  # the type stubs lack these methods
    if versions := bodies.context_dependent_function_opset_versions:
        types = [_type_proto(operand).SerializeToString() for operand in operands]
        version = _best(versions, opset)
        data = bodies.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), types)
    elif versions := bodies.function_opset_versions:
        data = bodies.get_function_with_opset_version(_best(versions, opset))
    else:
        return None
    function = FunctionProto()
    function.ParseFromString(data)
    named = {attribute.name for attribute in function.attribute_proto}
    function.attribute_proto.extend(
        a.default_value for a in schema.attributes.values() if a.default_value.type and a.name not in named
    )
    return function if function.node else None


def _best(versions: Sequence[int], opset: int) -> int:
    return max((version for version in versions if version <= opset), default=min(versions))


def _type_proto(type: TensorType | None) -> TypeProto:
    proto = TypeProto()
    if type is not None:
        proto.tensor_type.elem_type = _CODES[type.kind]
        for extent in type.shape:
            dim = proto.tensor_type.shape.dim.add()
            if isinstance(extent, int):
                dim.dim_value = extent
            else:
                dim.dim_param = str(extent)
    return proto
