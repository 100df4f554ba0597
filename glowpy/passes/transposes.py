"""Transposes: whole regions compute in the order of dimensions in which the fewest elements have to be transposed.

A model that was made for channels-last tensors has transposes around each convolution. What lies between, element-wise
operators, concatenations, reductions and the like, does not care for the order. Such a region is turned as a whole if
the transposes that this saves on its borders are larger than those it needs, so each turn makes the graph better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from glowpy.passes import fold, movement
from glowpy.passes.known import is_known, is_used_once
from glowpy.passes.movement import aligned, is_reshape
from glowpy_ir.graph import Builder, Graph, Node, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.elementwise import Elementwise
from glowpy_ir.ops.movement import Concat, Expand, Pad, Reshape, Slice, Transpose
from glowpy_ir.ops.normalization import Standardize
from glowpy_ir.ops.reduction import CompositeReduction, Reduction, Search
from glowpy_ir.ops.softmax import LogSoftmax, Softmax
from glowpy_ir.rewrite import Replacement, Rule, rewrite
from glowpy_ir.types import TensorType

Order = tuple[int, ...]
D = TypeVar("D")


def turn_regions(graph: Graph) -> bool:
    """Turn every region that gains by it, until none does."""
    changed = rewrite(graph, RULES)
    while _turn_once(graph):
        rewrite(graph, RULES)
        changed = True
    return changed


def _turn_once(graph: Graph) -> bool:
    place = {node: i for i, node in enumerate(graph.nodes)}
    visited: set[tuple[Node, Order]] = set()
    changed = False
    for start, order in list(_seeds(place)):
        if start not in place or (start, order) in visited or not _can_turn(start, order):
            continue
        region = Region(order, _region_around(start, order, place), frozenset(graph.outputs))
        visited |= {(node, order) for node in region.nodes}
        if region.gain() > 0:
            region.turn(graph, sorted(region.nodes, key=place.__getitem__))
            for node in region.nodes:
                del place[node]
            changed = True
    return changed


def _seeds(nodes: Iterable[Node]) -> Iterator[tuple[Node, Order]]:
    """Nodes beside a transpose, with the order in which they would compute without it."""
    for node in nodes:
        if isinstance(node.op, Transpose):
            yield from ((user, node.op.order) for user in node.output.users)
            if node.inputs[0].producer is not None:
                yield node.inputs[0].producer, inverse(node.op.order)


def _region_around(start: Node, order: Order, place: dict[Node, int]) -> set[Node]:
    """The nodes in ``place`` that hang together with ``start`` and do not mind to be turned."""
    found = {start}
    waiting = [start]
    while waiting:
        node = waiting.pop()
        producers = [value.producer for value in node.inputs if value.type.rank == len(order)]
        for other in (*producers, *node.output.users):
            if other in place and other not in found and _can_turn(other, order):
                found.add(other)
                waiting.append(other)
    return found


def _can_turn(node: Node, order: Order) -> bool:
    if len(node.outputs) != 1 or turned(node.op, order) is None:
        return False
    if node.output.type.rank != len(order) or not all(v.type.is_static for v in (*node.inputs, node.output)):
        return False
    return isinstance(node.op, Elementwise) or all(value.type.rank == len(order) for value in node.inputs)


def turned(op: Op, order: Order) -> Op | None:
    """``op`` for operands of which ``Transpose(order)`` makes those it has now; None if it minds the order."""

    def back(extents: tuple[D, ...]) -> tuple[D, ...]:
        return tuple(extents[axis] for axis in inverse(order))

    match op:
        case Elementwise():
            return op
        case Concat(axis=axis):
            return Concat(order[axis])
        case Softmax(axis=axis) | LogSoftmax(axis=axis) | Search(axis=axis, keepdims=True):
            return replace(op, axis=order[axis])
        case Reduction(axes=axes, keepdims=True) | CompositeReduction(axes=axes, keepdims=True):
            return replace(op, axes=tuple(sorted(order[axis] for axis in axes)))
        case Standardize(axes=axes):
            return replace(op, axes=tuple(sorted(order[axis] for axis in axes)))
        case Pad(before=before, after=after, value=value):
            return Pad(back(before), back(after), value)
        case Slice(starts=starts, shape=shape, steps=steps):
            return Slice(back(starts), back(shape), back(steps))
        case Expand(shape=shape):
            return Expand(back(shape))
        case _:
            return None


def inverse(order: Order) -> Order:
    """The order that undoes ``order``."""
    return tuple(order.index(axis) for axis in range(len(order)))


def transposed(type: TensorType, order: Order) -> TensorType:
    return type.with_shape(*(type.shape[axis] for axis in order))


@dataclass(frozen=True)
class Region:
    """Nodes whose values all are ``Transpose(order)`` of what they would be after a turn."""

    order: Order
    nodes: set[Node]
    outputs: frozenset[Value]

    def gain(self) -> int:
        """How many bytes less are transposed after a turn."""
        entering = {value for node in self.nodes for value in node.inputs if value.producer not in self.nodes}
        return sum(map(self._gain_at_entry, entering)) + sum(self._gain_at_exit(node.output) for node in self.nodes)

    def _gain_at_entry(self, value: Value) -> int:
        back = inverse(self.order)
        match value.producer:
            case Node(op=Transpose(order=order), inputs=(x,)):
                saved = value.type.nbytes if self._takes_all_of(value) else 0
                return saved - _cost(tuple(order[axis] for axis in back), x.type)
            case _:
                type = value.type.with_shape(*aligned(value.type, len(back)))
                return 0 if is_known(value) else -_cost(back, type)

    def _gain_at_exit(self, value: Value) -> int:
        after = transposed(value.type, inverse(self.order))
        gain = 0
        is_seen = value in self.outputs
        for user in value.users:
            if isinstance(user.op, Transpose):
                gain += value.type.nbytes - _cost(tuple(self.order[axis] for axis in user.op.order), after)
            elif user not in self.nodes:
                op, left = _reduced(user.op, self.order)
                gain -= 0 if op is None or is_sorted(left) else user.output.type.nbytes
                is_seen = is_seen or op is None
        return gain - _cost(self.order, after) if is_seen else gain

    def _takes_all_of(self, value: Value) -> bool:
        return value not in self.outputs and all(user in self.nodes for user in value.users)

    def turn(self, graph: Graph, nodes: list[Node]) -> None:
        """Compute the ``nodes``, first to last, in the other order; whoever is outside sees transposes of that."""
        for node in nodes:
            op = turned(node.op, self.order)
            assert op is not None
            b = Builder(graph, before=node)
            result = b.add(op, *(self._peeled(value, b) for value in node.inputs), name=node.output.name)
            for user in list(node.output.users):
                if isinstance(user.op, Transpose):
                    order = tuple(self.order[axis] for axis in user.op.order)
                    graph.replace(user.output, reordered(result, order, Builder(graph, before=user)))
                    graph.remove(user)
            if node.output.users or node.output in self.outputs:
                graph.replace(node.output, b.add(Transpose(self.order), result))
        for node in reversed(nodes):
            _discard(graph, node)

    def _peeled(self, value: Value, b: Builder) -> Value:
        back = inverse(self.order)
        match value.producer:
            case Node(op=Transpose(order=order), inputs=(x,)):
                return reordered(x, tuple(order[axis] for axis in back), b)
        if value.type.rank == 0:
            return value
        if value.type.rank < len(back):
            value = b.add(Reshape(aligned(value.type, len(back))), value)
        return reordered(value, back, b)


def reordered(value: Value, order: Order, b: Builder) -> Value:
    """``Transpose(order)`` of ``value``, or something cheaper that is the same."""
    if is_sorted(order):
        return value
    if is_reshape(order, value.type):
        return b.add(Reshape(transposed(value.type, order).shape), value)
    return b.add(Transpose(order), value)


def _cost(order: Order, type: TensorType) -> int:
    return 0 if is_reshape(order, type) else type.nbytes


def _discard(graph: Graph, node: Node) -> None:
    """Remove a node without uses, and the transposes that only it took."""
    graph.remove(node)
    for value in node.inputs:
        match value.producer:
            case Node(op=Transpose()) as transpose if not value.users and value not in graph.outputs:
                graph.remove(transpose)


def reduce_transposed(node: Node, b: Builder) -> Replacement:
    """reduce(transpose(x)) = transpose(reduce(x)), along other axes: there is less to transpose, if anything is left"""
    match node:
        case Node(inputs=(Value(producer=Node(op=Transpose(order=order), inputs=(x,))) as moved,)):
            op, left = _reduced(node.op, order)
            if op is None or not (is_sorted(left) or is_used_once(b.graph, moved)):
                return None
            return reordered(b.add(op, x), left, b)
        case _:
            return None


def _reduced(op: Op, order: Order) -> tuple[Op | None, Order]:
    """The reduction of ``x``, and the order to put its result in, that give what ``op`` makes of its transpose."""
    match op:
        case Reduction(axes=axes, keepdims=False) | CompositeReduction(axes=axes, keepdims=False):
            left = [order[axis] for axis in range(len(order)) if axis not in axes]
            ranks = {axis: i for i, axis in enumerate(sorted(left))}
            return replace(op, axes=tuple(sorted(order[axis] for axis in axes))), tuple(ranks[axis] for axis in left)
        case _:
            return None, ()


def is_sorted(order: Order) -> bool:
    """Whether ``order`` leaves all dimensions where they are."""
    return order == tuple(range(len(order)))


RULES: tuple[Rule, ...] = (*movement.RULES, reduce_transposed, *fold.RULES)
