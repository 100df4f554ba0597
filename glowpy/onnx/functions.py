"""Functions: what stands in a node's place when the operator is defined by other operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TypeProto
from onnx.defs import OpSchema

from glowpy.onnx.weights import KINDS
from glowpy_ir.errors import Unsupported
from glowpy_ir.types import TensorType

Key = tuple[str, str, str]
"""Domain, name and overload of a function."""

MOST_NODES = 200_000
"""A model that has more nodes than this after all functions stand in place is refused."""

_CODES = {kind: code for code, kind in KINDS.items()}


def key_of(item: NodeProto | FunctionProto) -> Key:
    """The function that a node calls, or that this is."""
    name = item.op_type if isinstance(item, NodeProto) else item.name
    return domain_of(item.domain), name, item.overload


def domain_of(domain: str) -> str:
    """The standard's own domain has two spellings."""
    return "" if domain == "ai.onnx" else domain


@dataclass(frozen=True)
class Functions:
    """The functions of a model."""

    by_key: Mapping[Key, FunctionProto]

    def check_size(self, graph: GraphProto) -> None:
        """Unsupported if functions call themselves, or if the model is too large with all of them in place."""
        sizes: dict[Key, int] = {}
        for key in self.by_key:
            self._measure(key, sizes)
        total = sum(sizes.get(key_of(node), 1) for node in _all_nodes(graph.node))
        if total > MOST_NODES:
            raise Unsupported(f"the model has {total} nodes with its functions in place; at most {MOST_NODES}")

    def _measure(self, start: Key, sizes: dict[Key, int]) -> None:
        """Fill in how many nodes a call of ``start`` becomes; without recursion, since calls may nest deeply."""
        open_calls: list[Key] = [start]
        while open_calls:
            key = open_calls[-1]
            calls = [key_of(node) for node in _all_nodes(self.by_key[key].node)]
            waiting = [call for call in calls if call in self.by_key and call not in sizes]
            if not waiting:
                sizes[key] = 1 + sum(sizes.get(call, 1) for call in calls)
                open_calls.pop()
            elif waiting[0] in open_calls:
                cycle = [*open_calls[open_calls.index(waiting[0]) :], waiting[0]]
                raise Unsupported(f"functions call themselves: {' -> '.join(name for _, name, _ in cycle)}")
            else:
                open_calls.append(waiting[0])


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
