"""Between which numbers the elements of a value lie, as far as the operators that made it tell."""

from __future__ import annotations

import math

from glowpy.passes.known import number_in
from glowpy_ir.graph import Node, Value
from glowpy_ir.op import Movement
from glowpy_ir.ops.activation import Relu
from glowpy_ir.ops.elementwise import Max, Min, Mul
from glowpy_ir.ops.functions import Abs, Exp, Sigmoid, Sqrt
from glowpy_ir.ops.pooling import MaxPool

Range = tuple[float, float]

EVERYTHING: Range = (-math.inf, math.inf)
POSITIVE: Range = (0, math.inf)

DEPTH = 4
"""How many operators back the search goes."""


def range_of(value: Value, depth: int = DEPTH) -> Range:
    """The least and the greatest number that may occur in ``value``; NaN may occur in any range."""
    number = number_in(value)
    if number is not None:
        return EVERYTHING if math.isnan(number) else (number, number)
    if depth == 0 or value.producer is None:
        return EVERYTHING
    is_float = value.type.kind.is_float
    match value.producer:
        case Node(op=Sigmoid()):
            return 0, 1
        case Node(op=Exp() | Sqrt()):
            return POSITIVE
        case Node(op=Abs()) if is_float:  # the smallest integer is its own absolute value
            return POSITIVE
        case Node(op=Mul(), inputs=(x, y)) if x is y and is_float:
            return POSITIVE
        case Node(op=Relu(), inputs=(x,)):
            low, high = range_of(x, depth - 1)
            return max(low, 0), max(high, 0)
        case Node(op=Max(), inputs=(x, y)):
            (a, b), (c, d) = range_of(x, depth - 1), range_of(y, depth - 1)
            return max(a, c), max(b, d)
        case Node(op=Min(), inputs=(x, y)):
            (a, b), (c, d) = range_of(x, depth - 1), range_of(y, depth - 1)
            return min(a, c), min(b, d)
        case Node(op=Movement() | MaxPool(), inputs=(x,)):
            return range_of(x, depth - 1)
        case _:
            return EVERYTHING
