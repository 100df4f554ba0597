"""Fusion: element-wise operators become the epilogue of the heavy operator before them, or one loop together.

A region is grown from its last operator backwards: an operator joins when all its uses are in the region and it makes
as many elements as the last one, so that nothing is computed twice and only one result leaves. The fused node stands
where the last operator stood, after everything that the region takes: no cycle can arise.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glowpy_ir.dims import product
from glowpy_ir.graph import Builder, Graph, Node, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.elementwise import Elementwise, Splat
from glowpy_ir.ops.fused import Fused, Step
from glowpy_ir.types import Kind

OPERANDS = 12
"""A body takes at most so many operands: each is a pointer, and a register for each vector at work."""

STEPS = 48
"""A body holds at most so many operators, as its code is repeated for several vectors at once."""

Fuses = Callable[[Op, bool], bool]
"""Whether an operator can be a head; of a body that makes another kind of elements than the head, if that is so."""


@dataclass(frozen=True)
class Fuse:
    """Forms ``Fused`` operators; ``fuses`` says which operators can be the head of one."""

    fuses: Fuses

    def __call__(self, graph: Graph) -> bool:
        place = {node: i for i, node in enumerate(graph.nodes)}
        escaping = frozenset(graph.outputs)
        before = len(place)
        for node in reversed(list(place)):
            if node in place and _is_loop(node):
                region = Region(node, escaping)
                region.grow(place)
                region.choose_head(self.fuses, place)
                for taken in region.replace(graph):
                    del place[taken]
        return len(place) < before


def _is_loop(node: Node) -> bool:
    numeric = all(value.type.kind is not Kind.STRING for value in (*node.inputs, *node.outputs))
    return isinstance(node.op, Elementwise) and numeric


def _splat(value: Value) -> Splat | None:
    op = value.producer.op if value.producer else None
    return op if isinstance(op, Splat) else None


class Region:
    """Element-wise nodes that will be one body, the last one first, and the heavy node whose epilogue they will be."""

    def __init__(self, last: Node, escaping: frozenset[Value]) -> None:
        self.last = last
        self.nodes: dict[Node, Elementwise] = {}
        self.operands: dict[Value, None] = {}
        self.head: Node | None = None
        self._escaping = escaping
        self._add(last)

    def grow(self, place: dict[Node, int]) -> None:
        """Take in what the region may have of the nodes in ``place``, which says where each stands."""
        count = product(self.last.output.type.shape)
        waiting: list[tuple[int, Node]] = []
        seen = {self.last}

        def look_behind(node: Node) -> None:
            for value in node.inputs:
                producer = value.producer
                if producer in place and producer not in seen and _is_loop(producer):
                    seen.add(producer)
                    heapq.heappush(waiting, (-place[producer], producer))

        look_behind(self.last)
        while waiting:  # the last first, so that all users of a node have been decided on before it
            _, node = heapq.heappop(waiting)
            if self._has_all_uses(node.output) and product(node.output.type.shape) == count and self._has_room(node):
                self._add(node)
                look_behind(node)

    def choose_head(self, fuses: Fuses, place: dict[Node, int]) -> None:
        """Of the heavy nodes whose result only the region takes, the last: the others are computed before it."""
        for value in self.operands:
            node = value.producer
            if node not in place or len(node.outputs) > 1:
                continue
            made = self.last.output.type
            converts = value.type != made
            if value.type.shape == made.shape and self._has_all_uses(value) and fuses(node.op, converts):
                self.head = max(self.head or node, node, key=place.__getitem__)

    def replace(self, graph: Graph) -> list[Node]:
        """Put the fused node into the place of the region; the answer is the nodes that it replaces."""
        heads = [self.head] if self.head else []
        operands = [value for value in self.operands if value.producer not in heads]
        arguments = [value for head in heads for value in head.inputs]
        head_op = next((head.op for head in heads), None)
        body = self._body([*(head.output for head in heads), *operands])
        b = Builder(graph, before=self.last, origin=(self.head or self.last).origin)
        fused = b.add(Fused(head_op, len(arguments), tuple(body)), *arguments, *operands, name=self.last.output.name)
        graph.replace(self.last.output, fused)
        taken = [*self.nodes, *heads]
        for node in taken:
            graph.remove(node)
        return taken

    def _body(self, numbered: list[Value]) -> Iterator[Step]:
        numbers = {value: i for i, value in enumerate(numbered)}
        splats: dict[str, int] = {}
        count = len(numbers)
        for node in reversed(self.nodes):
            for splat in filter(None, map(_splat, node.inputs)):
                if repr(splat) not in splats:  # the text, as 0.0 == -0.0
                    yield Step(splat, ())
                    splats[repr(splat)] = count
                    count += 1
            ops = ((_splat(value), value) for value in node.inputs)
            args = tuple(numbers[value] if splat is None else splats[repr(splat)] for splat, value in ops)
            yield Step(self.nodes[node], args)
            numbers[node.output] = count
            count += 1

    def _add(self, node: Node) -> None:
        assert isinstance(node.op, Elementwise)
        self.nodes[node] = node.op
        self.operands = self._operands_with(node)

    def _operands_with(self, node: Node) -> dict[Value, None]:
        values = dict.fromkeys((*self.operands, *node.inputs))
        return {v: None for v in values if v is not node.output and _splat(v) is None}

    def _has_all_uses(self, value: Value) -> bool:
        return value not in self._escaping and all(user in self.nodes for user in value.users)

    def _has_room(self, node: Node) -> bool:
        return len(self._operands_with(node)) <= OPERANDS and len(self.nodes) < STEPS
