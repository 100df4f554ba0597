"""com.microsoft's Attention and MultiHeadAttention, as ONNX Runtime's tools put them into transformers."""

from __future__ import annotations

import math

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import Add, Mul, scalar
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import Less, Select
from glowpy_ir.ops.movement import Concat, Reshape, Slice, Transpose
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.types import Kind

DOMAIN = "com.microsoft"


def load_multi_head_attention(c: NodeContext) -> tuple[Value, ...]:
    """Attention of query, key and value ``[N, tokens, heads * size]``; a bias (operand 3) for all three in a row.

    Keys and values with four dimensions are divided into heads already, as those of another sequence that are computed
    once.
    """
    heads = _head_count(c)
    if c.optional(1) is None or c.optional(2) is None:
        raise Unsupported("packed queries, keys and values are not supported: give each as an operand of its own")
    parts = [c.input(index) for index in range(3)]
    if parts[0].type.rank != 3 or any(part.type.rank not in (3, 4) for part in parts):
        raise Unsupported("packed queries, keys and values are not supported: give each as an operand of its own")
    if (bias := c.optional(3)) is not None:
        widths = [_width(part) for part in parts]
        starts = (0, widths[0], widths[0] + widths[1])
        biases = [_columns(c, bias, start, width) for start, width in zip(starts, widths, strict=True)]
        parts = [
            c.b.add(Add(), part, one) if part.type.rank == 3 else part for part, one in zip(parts, biases, strict=True)
        ]
    query, key, value = (_divided(c, part, heads) if part.type.rank == 3 else part for part in parts)
    if (past := c.optional(6)) is not None:
        key, value = c.b.add(Concat(2), past, key), c.b.add(Concat(2), c.input(7), value)
    result = _attend(c, query, key, value, mask=c.optional(4), addend=c.optional(5))
    return result, key, value


def load_attention(c: NodeContext) -> tuple[Value, ...]:
    """Attention of tokens ``[N, tokens, width]`` to each other, which are projected here; the past is operand 4."""
    heads = _head_count(c)
    if c.attributes.flag("do_rotary", False) or c.attributes.flag("past_present_share_buffer", False):
        raise Unsupported("neither rotary embeddings nor a shared buffer are supported in this operator")
    projected = c.b.add(MatMul(), c.input(0), c.input(1))
    if (bias := c.optional(2)) is not None:
        projected = c.b.add(Add(), projected, bias)
    total = _width(projected)
    widths = c.attributes.ints("qkv_hidden_sizes", (total // 3,) * 3)
    if len(widths) != 3 or sum(widths) != total or min(widths) < 1:
        raise BadModel(f"{total} columns do not divide into queries, keys and values of {list(widths)}")
    starts = (0, widths[0], widths[0] + widths[1])
    columns = [_columns(c, projected, start, width) for start, width in zip(starts, widths, strict=True)]
    query, key, value = (_divided(c, part, heads) for part in columns)
    if (past := c.optional(4)) is not None:
        earlier = [_member(c, past, number) for number in range(2)]
        key, value = (c.b.add(Concat(2), old, new) for old, new in zip(earlier, (key, value), strict=True))
    result = _attend(c, query, key, value, mask=c.optional(3), addend=c.optional(5))
    if not c.wants(1):
        return (result,)
    both = [c.b.add(Reshape((1, *part.type.shape)), part) for part in (key, value)]
    return result, c.b.add(Concat(0), *both)


def _head_count(c: NodeContext) -> int:
    heads = c.attributes.int("num_heads")
    if heads < 1:
        raise BadModel(f"{heads} heads")
    return heads


def _attend(
    c: NodeContext, query: Value, key: Value, value: Value, mask: Value | None, addend: Value | None
) -> Value:
    """``softmax(scale * query @ key.T + addend) @ value``, without what is masked; heads are side by side again."""
    size = _width(query)
    scale = c.attributes.float("scale", 0.0) or 1 / math.sqrt(size)
    filler = c.attributes.float("mask_filter_value", -10000.0)
    scores = c.b.add(MatMul(), query, c.b.add(Transpose((0, 1, 3, 2)), key))
    scores = c.b.add(Mul(), scores, scalar(c.b, scale, scores))
    batch, _, tokens, keys = scores.type.shape
    if mask is not None:
        kept = _kept(c, mask, batch, keys)
        scores = c.b.add(Add(), scores, _filled(c, kept, filler, scores))
    if addend is not None:
        scores = c.b.add(Add(), scores, addend)
    if c.attributes.flag("unidirectional", False):
        row, column = c.b.add(Reshape((tokens, 1)), c.b.add(Iota(tokens))), c.b.add(Iota(keys))
        behind = scalar(c.b, keys - tokens + 1, row)
        kept = c.b.add(Less(), column, c.b.add(Add(), row, behind))
        scores = c.b.add(Select(), kept, scores, scalar(c.b, float("-inf"), scores))
    mixed = c.b.add(MatMul(), c.b.add(Softmax(3), scores), value)
    together = c.b.add(Transpose((0, 2, 1, 3)), mixed)
    return c.b.add(Reshape((batch, tokens, mixed.type.shape[1] * mixed.type.shape[3])), together)


def _kept(c: NodeContext, mask: Value, batch: Dim, keys: Dim) -> Value:
    """Which keys count, as bool that broadcasts to the scores: from marks of each, or from how many there are."""
    if mask.type.rank == 1 and mask.type.shape == (batch,):
        places = c.b.add(Iota(keys, mask.type.kind))
        return c.b.add(Less(), places, c.b.add(Reshape((batch, 1, 1, 1)), mask))
    marks = c.b.add(Cast(Kind.BOOL), mask)
    if mask.type.rank == 2 and mask.type.shape[1] == keys:
        return c.b.add(Reshape((mask.type.shape[0], 1, 1, keys)), marks)
    if mask.type.rank == 3 and mask.type.shape[2] == keys:
        return c.b.add(Reshape((mask.type.shape[0], 1, mask.type.shape[1], keys)), marks)
    raise Unsupported(f"a mask {mask.type} is not supported: [N], [N, {keys}] or [N, tokens, {keys}]")


def _filled(c: NodeContext, kept: Value, filler: float, like: Value) -> Value:
    return c.b.add(Select(), kept, scalar(c.b, 0, like), scalar(c.b, filler, like))


def _width(value: Value) -> int:
    width = value.type.shape[-1]
    return width if isinstance(width, int) else value.type.extents[-1]


def _columns(c: NodeContext, value: Value, start: int, width: int) -> Value:
    """``width`` elements of the last dimension."""
    shape = value.type.shape
    if start + width > _width(value):
        raise BadModel(f"{value.type} has no columns {start} to {start + width}")
    starts = (*(0 for _ in shape[:-1]), start)
    return c.b.add(Slice(starts, (*shape[:-1], width), (1,) * len(shape)), value)


def _divided(c: NodeContext, value: Value, heads: int) -> Value:
    """``[N, tokens, heads * size]`` as ``[N, heads, tokens, size]``."""
    batch, tokens = value.type.shape[:2]
    if _width(value) % heads:
        raise BadModel(f"{heads} heads do not divide {value.type}")
    return c.b.add(Transpose((0, 2, 1, 3)), c.b.add(Reshape((batch, tokens, heads, _width(value) // heads)), value))


def _member(c: NodeContext, past: Value, number: int) -> Value:
    """The keys (0) or values (1) of a past ``[2, N, heads, tokens, size]``."""
    if past.type.rank != 5:
        raise BadModel(f"a past is [2, N, heads, tokens, size], not {past.type}")
    shape = past.type.shape[1:]
    taken = c.b.add(Slice((number, 0, 0, 0, 0), (1, *shape), (1,) * 5), past)
    return c.b.add(Reshape(shape), taken)


LOADERS: Table = {
    ("Attention", 1): load_attention,
    ("MultiHeadAttention", 1): load_multi_head_attention,
}
