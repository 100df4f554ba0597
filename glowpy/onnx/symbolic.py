"""What operators do to small tensors whose elements are dimensions, some without a value yet.

A shape that a model computes is followed as an array of dimensions (ints, or expressions in named symbols) or of truth
values. Moving elements about works on such arrays as on any other; arithmetic has a row in ``ARITHMETIC``; for
everything else the answer is None, which means: the elements are not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from glowpy_ir.dims import Dim, Expr, maximum, minimum
from glowpy_ir.evaluate import apply
from glowpy_ir.op import Op
from glowpy_ir.ops import elementwise as ew
from glowpy_ir.ops import logic, reduction
from glowpy_ir.ops import movement as mv
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.types import Array

DimArray = Array
"""An array of dtype object whose elements are dimensions, or truth values."""

MOVING: tuple[type[Op], ...] = (mv.Copy, mv.Reshape, mv.Transpose, mv.Slice, mv.Expand, mv.Concat)


class Unknown(Exception):
    """The answer depends on the value of a symbol."""


def sign(dim: Dim) -> int:
    """Whether an expression is negative, zero or positive for all values of its symbols, which are positive."""
    if isinstance(dim, int):
        return (dim > 0) - (dim < 0)
    signs = {1 if n > 0 else -1 for _, n in dim.terms}
    plain = all(not s.operands for monomial, _ in dim.terms for s in monomial)
    if not plain or len(signs) > 1:
        raise Unknown
    return signs.pop()


def _divide(a: Dim, b: Dim) -> Dim:
    if sign(b) <= 0:
        raise Unknown
    return a // b


ARITHMETIC: Mapping[type[Op], Callable[..., Any]] = {
    ew.Add: lambda a, b: a + b,
    ew.Sub: lambda a, b: a - b,
    ew.Mul: lambda a, b: a * b,
    ew.Div: _divide,
    ew.Max: maximum,
    ew.Min: minimum,
    logic.Equal: lambda a, b: sign(a - b) == 0,
    logic.Less: lambda a, b: sign(a - b) < 0,
    logic.LessOrEqual: lambda a, b: sign(a - b) <= 0,
    logic.Not: lambda a: not a,
    logic.Select: lambda condition, a, b: a if condition else b,
}
"""Extents are not negative, so that rounding down and rounding toward zero agree."""


def apply_to_dims(op: Op, *operands: DimArray) -> DimArray | None:
    """The result of ``op`` at work on arrays of dimensions, or None if it is no such array."""
    try:
        return _apply(op, operands)
    except Unknown:
        return None


def _apply(op: Op, operands: tuple[DimArray, ...]) -> DimArray | None:
    match op:
        case ew.Splat(value=value):
            return np.full(op.infer().extents, value, object)
        case Cast(to=to) if to.is_integer:
            return operands[0]
        case Gather(axis=axis) if all_known(operands[1]):
            return np.asarray(np.take(operands[0], operands[1].astype(np.int64), axis), object)
        case reduction.ReduceProd(axes=axes, keepdims=keepdims):
            return np.asarray(np.prod(operands[0], axis=axes, keepdims=keepdims), object)
    if isinstance(op, MOVING):
        return np.asarray(apply(op, *operands)[0], object)
    rule = ARITHMETIC.get(type(op))
    return None if rule is None else np.asarray(np.frompyfunc(rule, len(operands), 1)(*operands), object)


def all_known(dims: DimArray) -> bool:
    """Whether no element has a symbol."""
    return not any(isinstance(dim, Expr) for dim in dims.ravel())
