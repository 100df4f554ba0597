"""Reductions along axes, and where the largest and the smallest element stand."""

from __future__ import annotations

from collections.abc import Mapping

from glowpy.onnx.context import Loader, NodeContext, Table, positive_axes, positive_axis
from glowpy_ir.graph import Value
from glowpy_ir.ops.reduction import (
    ArgMax,
    ArgMin,
    CompositeReduction,
    ReduceL1,
    ReduceL2,
    ReduceLogSum,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
    Reduction,
)

Reducer = type[Reduction | CompositeReduction]


def by_attribute(op: Reducer) -> Loader:
    """A loader for a reduction whose axes are an attribute; without them, all."""

    def load(c: NodeContext) -> Value:
        axes = c.attributes.ints("axes", ()) or range(c.type(0).rank)
        return _reduce(c, op, axes)

    return load


def by_operand(op: Reducer) -> Loader:
    """A loader for a reduction whose axes are an optional operand; without them, all, or none if so asked."""

    def load(c: NodeContext) -> Value:
        none_if_empty = c.attributes.flag("noop_with_empty_axes", False)
        axes = () if c.optional(1) is None else c.known_ints(1)
        return _reduce(c, op, axes or (() if none_if_empty else range(c.type(0).rank)))

    return load


def _reduce(c: NodeContext, op: Reducer, axes: tuple[int, ...] | range) -> Value:
    ascending = tuple(sorted(positive_axes(axes, c.type(0).rank)))
    return c.b.add(op(ascending, c.attributes.flag("keepdims", True)), c.input(0))


def searches(op: type[ArgMax | ArgMin]) -> Loader:
    """A loader for ONNX ArgMax or ArgMin."""

    def load(c: NodeContext) -> Value:
        axis = positive_axis(c.attributes.int("axis", 0), c.type(0).rank)
        keepdims = c.attributes.flag("keepdims", True)
        return c.b.add(op(axis, keepdims, c.attributes.flag("select_last_index", False)), c.input(0))

    return load


REDUCTIONS: Mapping[str, tuple[Reducer, int]] = {
    "ReduceL1": (ReduceL1, 18),
    "ReduceL2": (ReduceL2, 18),
    "ReduceLogSum": (ReduceLogSum, 18),
    "ReduceLogSumExp": (ReduceLogSumExp, 18),
    "ReduceMax": (ReduceMax, 18),
    "ReduceMean": (ReduceMean, 18),
    "ReduceMin": (ReduceMin, 18),
    "ReduceProd": (ReduceProd, 18),
    "ReduceSum": (ReduceSum, 13),
    "ReduceSumSquare": (ReduceSumSquare, 18),
}
"""What each reduction is, and since which version its axes are an operand."""

LOADERS: Table = {
    **{(name, 1): by_attribute(op) for name, (op, _) in REDUCTIONS.items()},
    **{(name, since): by_operand(op) for name, (op, since) in REDUCTIONS.items()},
    ("ArgMax", 1): searches(ArgMax),
    ("ArgMin", 1): searches(ArgMin),
}
