"""Attention as one operator: the scores between two products need no memory of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from glowpy.passes.known import is_used_once
from glowpy.passes.lower import Keeps
from glowpy_ir.graph import Builder, Graph, Node, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.fused import Fused, FusedAttention
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.rewrite import Replacement, rewrite
from glowpy_ir.types import Kind, TensorType

FEWEST_ROWS = 16
"""For fewer rows, packing keys and values costs more than it saves."""
MOST_PACKED = 1 << 19
"""Elements of keys and values that stay in the second-level cache, or close to it."""


@dataclass(frozen=True)
class FuseAttention:
    """Forms ``FusedAttention``, once bodies are formed; ``keeps`` says whether the backend has a kernel for one."""

    keeps: Keeps

    def __call__(self, graph: Graph) -> bool:
        return rewrite(graph, (lambda node, b: self._fuse(graph, node, b),))

    def _fuse(self, graph: Graph, node: Node, b: Builder) -> Replacement:
        """softmax(q @ k) @ v = attention(q, k, v)"""
        if not isinstance(node.op, MatMul) or not node.output.type.is_static:
            return None
        weights, value = node.inputs
        softmax = _maker(graph, weights)
        scores = _maker(graph, softmax.inputs[0]) if softmax else None
        if softmax is None or scores is None or not _pays(scores, node):
            return None
        product, normalised = _head(scores.op), _along_last(softmax, scores.output.type)
        if not isinstance(product, MatMul) or normalised is None or scores.output.type != weights.type:
            return None
        op = FusedAttention(scores.op, normalised)
        return b.add(op, *scores.inputs, value) if self.keeps(op) else None


def _maker(graph: Graph, value: Value) -> Node | None:
    """What makes a value that is used once, seen through reshapes."""
    while value.producer is not None and is_used_once(graph, value):
        if not isinstance(value.producer.op, Reshape):
            return value.producer
        (value,) = value.producer.inputs
    return None


def _head(op: Op) -> Op | None:
    return op.head if isinstance(op, Fused) else op


def _along_last(softmax: Node, scores: TensorType) -> Op | None:
    """The node's operator for operands of type ``scores``, if it is a softmax along the last axis."""
    head, type = _head(softmax.op), softmax.output.type
    if not isinstance(head, Softmax) or len(softmax.inputs) > 1:
        return None
    if head.axis != type.rank - 1 or type.shape[-1] != scores.shape[-1]:
        return None
    same = Softmax(scores.rank - 1)
    return replace(softmax.op, head=same) if isinstance(softmax.op, Fused) else same


def _pays(scores: Node, attention: Node) -> bool:
    """Whether the kernel takes such operands, and is worth its packing."""
    type, value = scores.output.type, attention.inputs[1].type
    kinds = {operand.type.kind for operand in (*scores.inputs[:2], *attention.outputs)} | {type.kind}
    if kinds != {Kind.F32} or type.shape[:-2] != attention.output.type.shape[:-2]:
        return False
    rows, length = type.extents[-2:]
    packed = length * (scores.inputs[0].type.extents[-1] + value.extents[-1])
    return rows >= FEWEST_ROWS and 0 < packed <= MOST_PACKED and 0 not in attention.output.type.extents
