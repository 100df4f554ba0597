"""Rules that replace one node by something better, the driver that applies them until none fits, and passes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from glowpy_ir.errors import InvalidIR
from glowpy_ir.graph import Builder, Constant, Graph, Node, Value

Replacement = Value | tuple[Value, ...] | None

Rule = Callable[[Node, Builder], Replacement]
"""Sees a node; answers with the value (or values) to use instead, or with None if the rule does not fit."""


@dataclass(frozen=True)
class Pass:
    """A named step that changes a graph in place, and says whether it did."""

    name: str
    run: Callable[[Graph], bool]


def rewrite(graph: Graph, rules: tuple[Rule, ...]) -> bool:
    """Apply the rules, the first that fits, until none fits.

    What takes a value that changed is looked at again, and what takes its results: so far do rules see. Nodes that
    lose their last use are removed. Raises InvalidIR if rules chase each other without end.
    """
    waiting = deque(graph.nodes)
    queued = set(waiting)
    gone: set[Node] = set()
    budget = 64 * (len(waiting) + 64)
    changed = False

    def enqueue(node: Node | None) -> None:
        if node is not None and node not in queued and node not in gone:
            queued.add(node)
            waiting.append(node)

    def discard(node: Node) -> None:
        stack = [node]
        while stack:
            dead = stack.pop()
            if dead in gone or any(v.users or v in graph.outputs for v in dead.outputs):
                continue
            gone.add(dead)
            graph.remove(dead)
            for value in dict.fromkeys(dead.inputs):
                if value.producer is not None:
                    stack.append(value.producer)
                elif isinstance(value, Constant) and not value.users and value not in graph.outputs:
                    graph.remove_constant(value)  # at once: what folding leaves behind is large
                if len(value.users) == 1:  # it has become the only use, which rules may ask for
                    enqueue(next(iter(value.users)))

    while waiting:
        node = waiting.popleft()
        queued.discard(node)
        if node in gone:
            continue
        builder = Builder(graph, before=node)
        for rule in rules:
            replacement = rule(node, builder)
            if replacement is None:
                continue
            new = replacement if isinstance(replacement, tuple) else (replacement,)
            if new == node.outputs:
                continue
            changed = True
            budget -= 1
            if budget < 0:
                raise InvalidIR(f"rewriting does not end; the last rule was {rule.__name__}").at(node.origin)
            for old, value in zip(node.outputs, new, strict=True):
                for user in old.users:
                    enqueue(user)
                    for result in user.outputs:
                        for other in result.users:
                            enqueue(other)
                graph.replace(old, value)
                enqueue(value.producer)
            for added in builder.added:
                enqueue(added)
            discard(node)
            break
    return changed
