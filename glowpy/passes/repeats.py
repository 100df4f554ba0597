"""Products of matrices that are repeated: each is multiplied where it lies, and no copies are made.

Heads of queries that share a head of keys and values are spelled out so (Ainslie and others, arXiv 2305.13245).
"""

from __future__ import annotations

from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Expand, Reshape
from glowpy_ir.rewrite import Replacement, Rule


def share_repeated(node: Node, b: Builder) -> Replacement:
    """matmul(x, reshape(expand(y))) = reshape(matmul(reshape(x), y)), where each matrix of y is repeated in a row"""
    if not isinstance(node.op, MatMul) or not all(value.type.is_static for value in node.inputs):
        return None
    lhs, rhs = node.inputs
    match rhs.producer:
        case Node(op=Reshape(), inputs=(Value(producer=Node(op=Expand(), inputs=(y,))) as wide,)) if wide.type.rank > 3:
            *batch, groups, repeats, rows, columns = wide.type.extents
            heads = (*batch, groups * repeats)
            if (rhs.type.shape, y.type.shape) != ((*heads, rows, columns), (*batch, groups, 1, rows, columns)):
                return None
            if lhs.type.shape[:-2] != heads or 0 in lhs.type.extents:
                return None
            apart = b.add(Reshape((*batch, groups, repeats, *lhs.type.shape[-2:])), lhs)
            return b.add(Reshape(node.output.type.shape), b.add(MatMul(), apart, y))
        case _:
            return None


RULES: tuple[Rule, ...] = (share_repeated,)
