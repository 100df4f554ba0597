"""com.microsoft's layer normalisations of sums."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.op import Op
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Splat, scalar
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.logic import Equal
from glowpy_ir.ops.movement import Reshape, full_slice
from glowpy_ir.ops.normalization import LayerNormalization, RmsNormalization
from glowpy_ir.ops.reduction import ReduceSum
from glowpy_ir.types import Kind

DOMAIN = "com.microsoft"


def load_skip_layer_normalization(c: NodeContext) -> tuple[Value, ...]:
    """com.microsoft SkipLayerNormalization: input, skip, gamma, beta, bias."""
    axis = c.type(0).rank - 1
    op = LayerNormalization(axis, c.attributes.float("epsilon", 1e-12))
    return _of_sum(c, op, bias=4, parameters=(2, 3))


def load_skip_simplified_layer_normalization(c: NodeContext) -> tuple[Value, ...]:
    """com.microsoft SkipSimplifiedLayerNormalization: input, skip, gamma, bias."""
    axis = c.type(0).rank - 1
    op = RmsNormalization(axis, c.attributes.float("epsilon", 1e-12))
    return _of_sum(c, op, bias=3, parameters=(2,))


def _of_sum(c: NodeContext, op: Op, bias: int, parameters: tuple[int, ...]) -> tuple[Value, ...]:
    """The normalised sum; mean and deviation, which no engine computes in inference; and the sum."""
    if c.wants(1) or c.wants(2):
        raise Unsupported("the mean and the deviation (outputs 1 and 2) are for training only")
    total = c.b.add(Add(), c.input(0), c.input(1))
    addend = c.optional(bias)
    total = total if addend is None else c.b.add(Add(), total, addend)
    given = [value for index in parameters if (value := c.optional(index)) is not None]
    result = c.b.add(op, total, *given)
    return (result, result, result, total) if c.wants(3) else (result,)


def load_embed_layer_normalization(c: NodeContext) -> tuple[Value, ...]:
    """com.microsoft EmbedLayerNormalization: the sum of embeddings of words, positions and segments, normalised.

    The second result is how many ones each row of the mask (operand 7) has; 0 without one.
    """
    c.attributes.int("mask_index_type", 0)
    b, ids = c.b, c.input(0)
    if ids.type.rank != 2 or c.type(3).rank != 2:
        raise BadModel(f"it takes words [N, S] and a table of positions [P, C], not {ids.type} and {c.type(3)}")
    total = b.add(Gather(0), c.input(2), ids)
    positions = c.optional(8)
    table = c.input(3)
    if positions is None:
        rows = b.add(full_slice(table.type.shape, 0, 0, ids.type.shape[1]), table)
        place = b.add(Reshape((1, *rows.type.shape)), rows)
    else:
        place = b.add(Gather(0), table, positions)
    total = b.add(Add(), total, place)
    segments = c.optional(1)
    if segments is not None:
        total = b.add(Add(), total, b.add(Gather(0), c.input(4), segments))
    op = LayerNormalization(2, c.attributes.float("epsilon", 1e-12))
    result = b.add(op, total, c.input(5), c.input(6))
    mask = c.optional(7)
    if mask is None:
        counts = b.add(Splat(0, Kind.I32, ids.type.shape[:1]))
    else:
        ones = b.add(Equal(), mask, scalar(b, 1, mask))
        counts = b.add(ReduceSum((1,), keepdims=False), b.add(Cast(Kind.I32), ones))
    return result, counts, total


LOADERS: Table = {
    ("EmbedLayerNormalization", 1): load_embed_layer_normalization,
    ("SkipLayerNormalization", 1): load_skip_layer_normalization,
    ("SkipSimplifiedLayerNormalization", 1): load_skip_simplified_layer_normalization,
}
