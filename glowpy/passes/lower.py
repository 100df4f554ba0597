"""Lowering: composite operators give way to the operators that define them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from glowpy_ir.graph import Builder, Graph, Node
from glowpy_ir.op import Composite
from glowpy_ir.rewrite import Replacement, rewrite

Keeps = Callable[[Composite], bool]


@dataclass(frozen=True)
class Lower:
    """Expands every composite that the backend does not keep whole; ``keeps`` says which."""

    keeps: Keeps

    def __call__(self, graph: Graph) -> bool:
        return rewrite(graph, (self.expand_composite,))

    def expand_composite(self, node: Node, b: Builder) -> Replacement:
        """Op(operands) = Op.expand(operands)"""
        if isinstance(node.op, Composite) and not self.keeps(node.op):
            return node.op.expand(b, *node.inputs)
        return None
