"""Operators that pick elements by number, or put them where numbers say."""

from __future__ import annotations

import numpy as np

from glowpy.onnx.context import Loader, NodeContext, Table, positive_axis
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.arrangement import OneHot, ReverseSequence, Triangle
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Cumulate, Running, RunningProduct, RunningSum
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.indexing import Gather, GatherElements, GatherND, ScatterElements, ScatterND, Update
from glowpy_ir.ops.movement import Reshape, full_slice
from glowpy_ir.ops.sorting import TopK
from glowpy_ir.types import Array, Kind


def load_gather(c: NodeContext) -> Value:
    """One known index is a slice."""
    shape, axis = c.type(0).shape, positive_axis(c.attributes.int("axis", 0), c.type(0).rank)
    extent = shape[axis]
    if c.is_known(1) and c.type(1).rank == 0 and not c.is_known(0):
        index = positive_axis(c.known(1).item(), extent) if isinstance(extent, int) else c.known(1).item()
        start = extent + index if index < 0 else index
        one = c.b.add(full_slice(shape, axis, start, 1), c.input(0))
        return c.b.add(Reshape((*shape[:axis], *shape[axis + 1 :])), one)
    return c.b.add(Gather(axis), c.input(0), c.input(1))


def load_gather_elements(c: NodeContext) -> Value:
    axis = positive_axis(c.attributes.int("axis", 0), c.type(0).rank)
    return c.b.add(GatherElements(axis), c.input(0), c.input(1))


def load_gather_nd(c: NodeContext) -> Value:
    return c.b.add(GatherND(c.attributes.int("batch_dims", 0)), c.input(0), c.input(1))


def load_scatter_elements(c: NodeContext) -> Value:
    axis = positive_axis(c.attributes.int("axis", 0), c.type(0).rank)
    return c.b.add(ScatterElements(axis, _update(c)), c.input(0), c.input(1), c.input(2))


def load_scatter_nd(c: NodeContext) -> Value:
    return c.b.add(ScatterND(_update(c)), c.input(0), c.input(1), c.input(2))


def _update(c: NodeContext) -> Update:
    return c.attributes.choice("reduction", Update, Update.REPLACE)


def load_one_hot(c: NodeContext) -> Value:
    indices = c.input(0)
    axis = positive_axis(c.attributes.int("axis", -1), indices.type.rank + 1)
    (depth,) = c.dims(1) if c.type(1).kind.is_integer else (_whole(c.known(1)),)
    if isinstance(depth, int) and depth < 0:
        raise TypeMismatch(f"the depth is {depth}")
    index = indices if indices.type.kind is Kind.I64 else c.b.add(Cast(Kind.I64), indices)
    return c.b.add(OneHot(axis, depth), index, c.input(2))


def _whole(number: Array) -> int:
    if number.size != 1 or not np.isfinite(number).all():
        raise TypeMismatch(f"the depth is {number.tolist()}")
    return int(number.item())


def load_trilu(c: NodeContext) -> Value:
    upper = c.attributes.flag("upper", True)
    diagonal = c.optional(1) or c.b.add(Splat(0, Kind.I64))
    return c.b.add(Triangle(upper), c.input(0), c.b.add(Reshape(()), diagonal))


def load_reverse_sequence(c: NodeContext) -> Value:
    time, batch = c.attributes.int("time_axis", 0), c.attributes.int("batch_axis", 1)
    if {time, batch} != {0, 1} or c.type(0).rank < 2:
        raise TypeMismatch(f"time axis {time} and batch axis {batch} must be 0 and 1 of {c.type(0)}")
    return c.b.add(ReverseSequence(time, batch), c.input(0), c.input(1))


def _cumulate(running: type[Running]) -> Loader:
    def load(c: NodeContext) -> Value:
        axis = positive_axis(_count(c), c.type(0).rank)
        exclusive, reverse = c.attributes.flag("exclusive", False), c.attributes.flag("reverse", False)
        return c.b.add(Cumulate(running(axis), exclusive, reverse), c.input(0))

    return load


def load_top_k_1(c: NodeContext) -> tuple[Value, ...]:
    return _top_k(c, c.attributes.int("k"), True)


def load_top_k_10(c: NodeContext) -> tuple[Value, ...]:
    return _top_k(c, _count(c), True)


def load_top_k_11(c: NodeContext) -> tuple[Value, ...]:
    """The order of the results is always that of size, also where the model does not care."""
    c.attributes.flag("sorted", True)
    return _top_k(c, _count(c), c.attributes.flag("largest", True))


def _count(c: NodeContext) -> int:
    counts = c.known_ints(1)
    if len(counts) != 1:
        raise TypeMismatch(f"input 1 must be one number, not {c.type(1)}")
    return counts[0]


def _top_k(c: NodeContext, count: int, largest: bool) -> tuple[Value, ...]:
    axis = positive_axis(c.attributes.int("axis", -1), c.type(0).rank)
    return c.b.add_all(TopK(axis, count, largest), c.input(0))


LOADERS: Table = {
    ("Gather", 1): load_gather,
    ("GatherElements", 11): load_gather_elements,
    ("GatherND", 11): load_gather_nd,
    ("Scatter", 9): load_scatter_elements,
    ("ScatterElements", 11): load_scatter_elements,
    ("ScatterND", 11): load_scatter_nd,
    ("OneHot", 9): load_one_hot,
    ("Trilu", 14): load_trilu,
    ("ReverseSequence", 10): load_reverse_sequence,
    ("CumSum", 11): _cumulate(RunningSum),
    ("CumProd", 26): _cumulate(RunningProduct),
    ("TopK", 1): load_top_k_1,
    ("TopK", 10): load_top_k_10,
    ("TopK", 11): load_top_k_11,
}
