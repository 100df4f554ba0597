"""Operators that choose elements by what they hold: how many, is asked for once they are chosen."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy_ir.dims import product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.movement import Reshape, Transpose, full_slice
from glowpy_ir.ops.selection import NonMaxSuppression, NonZero, Unique
from glowpy_ir.types import Kind


def load_non_zero(c: NodeContext) -> Value:
    """Index tuples as columns."""
    return _places(c, c.input(0))


def _places(c: NodeContext, value: Value) -> Value:
    places, count = c.b.add_all(NonZero(), value)
    return _first(c, places, 1, count, "how many elements are not zero")


def _first(c: NodeContext, padded: Value, axis: int, count: Value, what: str) -> Value:
    """As many as ``count`` says of the elements along an axis."""
    extent = int(c.demand(count, what))
    shape = padded.type.shape
    return padded if extent == shape[axis] else c.b.add(full_slice(shape, axis, 0, extent), padded)


def load_compress(c: NodeContext) -> Value:
    """A condition that is too short leaves out the rest; of one that is too long, the rest is left out."""
    input, axis = c.input(0), c.attributes.int("axis", None)
    if axis is None:
        input, axis = c.b.add(Reshape((product(input.type.shape),)), input), 0
    axis = positive_axis(axis, input.type.rank)
    condition, extent = c.input(1), input.type.shape[axis]
    if condition.type.rank != 1:
        raise TypeMismatch(f"the condition must be a list, not {condition.type}")
    length = condition.type.shape[0]
    if isinstance(length, int) and isinstance(extent, int) and length > extent:
        condition = c.b.add(full_slice((length,), 0, 0, extent), condition)
    places = _places(c, condition)
    return c.b.add(Gather(axis), input, c.b.add(Reshape(places.type.shape[1:]), places))


def load_unique(c: NodeContext) -> tuple[Value, ...]:
    """The rows, which are single elements without an axis, and lists about them."""
    input, axis = c.input(0), c.attributes.int("axis", None)
    if axis is None:
        input, axis = c.b.add(Reshape((product(input.type.shape),)), input), 0
    axis = positive_axis(axis, input.type.rank)
    others = tuple(d for d in range(input.type.rank) if d != axis)
    rows = c.b.add(Transpose((axis, *others)), input) if axis else input
    matrix = c.b.add(Reshape((rows.type.shape[0], product(rows.type.shape[1:]))), rows)
    first, which, often, count = c.b.add_all(Unique(c.attributes.flag("sorted", True)), matrix)
    first, often = (_first(c, padded, 0, count, "how many elements differ") for padded in (first, often))
    return c.b.add(Gather(axis), input, first), first, which, often


def load_non_max_suppression(c: NodeContext) -> Value:
    """At most so many boxes of each class as the third operand says; none if it is left out."""
    counts = (0,) if c.optional(2) is None else c.known_ints(2)
    if len(counts) != 1:
        raise TypeMismatch(f"input 2 must be one number, not {c.type(2)}")
    operands = [c.input(0), c.input(1), _scalar(c, 3) or c.b.add(Splat(0.0))]
    if (least := _scalar(c, 4)) is not None:
        operands.append(least)
    op = NonMaxSuppression(max(counts[0], 0), c.attributes.flag("center_point_box", False))
    rows, count = c.b.add_all(op, *operands)
    return _first(c, rows, 0, count, "how many boxes are selected")


def _scalar(c: NodeContext, index: int) -> Value | None:
    value = c.optional(index)
    if value is not None and (value.type.kind is not Kind.F32 or value.type.shape not in ((), (1,))):
        raise TypeMismatch(f"input {index} must be one number, not {value.type}")
    return value and c.b.add(Reshape(()), value)


LOADERS: Table = {
    ("NonZero", 9): load_non_zero,
    ("Compress", 9): load_compress,
    ("Unique", 11): load_unique,
    ("NonMaxSuppression", 10): load_non_max_suppression,
}
