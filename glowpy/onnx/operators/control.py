"""Operators that choose which nodes run."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.scope import Named
from glowpy_ir.errors import TypeMismatch


def load_if(c: NodeContext) -> tuple[Named, ...]:
    """A condition that is known now leaves one branch."""
    branches = c.attributes.graph("else_branch"), c.attributes.graph("then_branch")
    if c.known(0).size != 1:
        raise TypeMismatch(f"a condition must be one truth value, not {c.type(0)}")
    return c.inline(branches[bool(c.known(0).item())])


LOADERS: Table = {("If", 1): load_if}
