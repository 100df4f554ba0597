"""Operators of language models on states that are carried on from token to token."""

from __future__ import annotations

import math
from enum import Enum

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.attention import CacheUpdate, LinearAttention
from glowpy_ir.ops.elementwise import Splat


class WriteMode(Enum):
    """What happens at the end of a cache."""

    LINEAR = "linear"
    CIRCULAR = "circular"


def load_tensor_scatter(c: NodeContext) -> Value:
    axis = positive_axis(c.attributes.int("axis", -2), c.type(0).rank)
    circular = c.attributes.choice("mode", WriteMode, WriteMode.LINEAR) is WriteMode.CIRCULAR
    start = c.optional(2)
    operands = [c.input(0), c.input(1)] if start is None else [c.input(0), c.input(1), start]
    return c.b.add(CacheUpdate(axis, circular), *operands)


class UpdateRule(Enum):
    """What a token does to the state."""

    LINEAR = "linear"
    GATED = "gated"
    DELTA = "delta"
    GATED_DELTA = "gated_delta"


def load_linear_attention(c: NodeContext) -> tuple[Value, ...]:
    """Without a state (operand 3), it starts from zeros; operands 4 and 5 are the gates that the rule asks for."""
    c.attributes.int("chunk_size", 64)  # A hint for other algorithms.
    heads, shared = c.attributes.int("q_num_heads"), c.attributes.int("kv_num_heads")
    if heads < 1 or shared < 1 or c.type(0).rank != 3 or c.type(2).rank != 3:
        raise BadModel(f"{heads} and {shared} heads do not fit {c.type(0)} and {c.type(2)} [N, tokens, heads * size]")
    rule = c.attributes.choice("update_rule", UpdateRule, UpdateRule.GATED_DELTA)
    decays, corrects = rule in (UpdateRule.GATED, UpdateRule.GATED_DELTA), "DELTA" in rule.name
    if (c.optional(4) is not None, c.optional(5) is not None) != (decays, corrects):
        needs = f"needs {'a' if decays else 'no'} decay and {'a' if corrects else 'no'} beta"
        raise BadModel(f"rule '{rule.value}' {needs}")
    size = c.type(0).extents[2] // heads
    scale = c.attributes.float("scale", 0.0) or 1 / math.sqrt(max(size, 1))
    batch, width = c.type(0).shape[0], c.type(2).shape[2] // shared
    state = c.optional(3) or c.b.add(Splat(0, c.type(0).kind, (batch, shared, size, width)))
    gates = [c.input(index) for index, wanted in ((4, decays), (5, corrects)) if wanted]
    op = LinearAttention(heads, shared, scale, decays, corrects)
    return c.b.add_all(op, c.input(0), c.input(1), c.input(2), state, *gates)


LOADERS: Table = {
    ("TensorScatter", 24): load_tensor_scatter,
    ("LinearAttention", 27): load_linear_attention,
}
