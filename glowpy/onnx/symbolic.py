"""What operators do to small integer tensors whose elements are dimensions, some without a value yet.

A shape that a model computes is followed as an array of dimensions (ints, or expressions in named symbols). Moving
elements about works on such arrays as on any other; arithmetic has a row in ``ARITHMETIC``; for everything else the
answer is None, which means: the elements are not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from glowpy_ir.dims import Dim, Expr, maximum, minimum
from glowpy_ir.evaluate import apply
from glowpy_ir.op import Op
from glowpy_ir.ops import elementwise as ew
from glowpy_ir.ops import movement as mv
from glowpy_ir.types import Array

DimArray = Array
"""An array of dtype object whose elements are of type Dim."""

MOVING: tuple[type[Op], ...] = (mv.Copy, mv.Reshape, mv.Transpose, mv.Slice, mv.Expand, mv.Concat)

ARITHMETIC: Mapping[type[Op], Callable[[Dim, Dim], Dim]] = {
    ew.Add: lambda a, b: a + b,
    ew.Sub: lambda a, b: a - b,
    ew.Mul: lambda a, b: a * b,
    ew.Div: lambda a, b: a // b,
    ew.Max: maximum,
    ew.Min: minimum,
}
"""Extents are not negative, so that rounding down and rounding toward zero agree."""


def apply_to_dims(op: Op, *operands: DimArray) -> DimArray | None:
    """The result of ``op`` at work on arrays of dimensions, or None if it is no such array."""
    if isinstance(op, MOVING):
        (result,) = apply(op, *operands)
        return result
    if (rule := ARITHMETIC.get(type(op))) is None:
        return None
    if isinstance(op, ew.Div) and not all(isinstance(d, Expr) or d > 0 for d in operands[1].ravel()):
        return None
    return np.asarray(np.frompyfunc(rule, 2, 1)(*operands), object)


def all_known(dims: DimArray) -> bool:
    """Whether no element has a symbol."""
    return all(isinstance(dim, int) for dim in dims.ravel())
