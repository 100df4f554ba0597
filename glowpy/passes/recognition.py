"""Recognition: a larger operator where a model spells it out in small ones, so that it is computed in one place.

Exporters wrote layer normalisation and softmax like that until ONNX had operators for them.
"""

from __future__ import annotations

from glowpy.passes.known import number_in
from glowpy_ir.graph import Builder, Graph, Node, Value
from glowpy_ir.ops.elementwise import Add, Div, Mul, Pow, Reciprocal, Sub
from glowpy_ir.ops.functions import Exp, Sqrt
from glowpy_ir.ops.normalization import Standardize
from glowpy_ir.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.rewrite import Replacement, rewrite
from glowpy_ir.types import Kind

EXACT = (Kind.F32, Kind.F64)
"""Floats for which the operators compute in the same precision as their parts."""


def recognise_standardize(node: Node, b: Builder) -> Replacement:
    """d / sqrt(mean(d²) + c) = standardize(x), where d = x - mean(x), or x"""
    found = _quotient(node)
    if found is None or node.output.type.kind not in EXACT:
        return None
    deviation, variance = found
    match variance:
        case Value(producer=Node(op=Add(), inputs=(Value(producer=Node(op=ReduceMean() as mean, inputs=(of,))), c))):
            epsilon = number_in(c)
        case _:
            return None
    if epsilon is None or not epsilon > 0 or not mean.keepdims or not _is_square(of, deviation):
        return None
    match deviation:
        case Value(producer=Node(op=Sub(), inputs=(x, Value(producer=Node(op=inner, inputs=(y,)))))) if x is y:
            if inner == mean and x.type == deviation.type:
                return b.add(Standardize(mean.axes, float(epsilon)), x)
    return b.add(Standardize(mean.axes, float(epsilon), centered=False), deviation)


def _quotient(node: Node) -> tuple[Value, Value] | None:
    """``d`` and ``v`` if the node is ``d / sqrt(v)``, however that is written."""
    match node:
        case Node(op=Div(), inputs=(d, Value(producer=Node(op=Sqrt(), inputs=(v,))))):
            return d, v
        case Node(op=Mul(), inputs=(lhs, rhs)):
            for d, factor in ((lhs, rhs), (rhs, lhs)):
                radicand = _radicand_of_reciprocal(factor)
                if radicand is not None:
                    return d, radicand
    return None


def _radicand_of_reciprocal(value: Value) -> Value | None:
    """``v`` if the value is ``1 / sqrt(v)``."""
    match value:
        case Value(producer=Node(op=Reciprocal(), inputs=(Value(producer=Node(op=Sqrt(), inputs=(v,))),))):
            return v
        case Value(producer=Node(op=Div(), inputs=(one, Value(producer=Node(op=Sqrt(), inputs=(v,)))))):
            return v if number_in(one) == 1 else None
        case Value(producer=Node(op=Pow(), inputs=(v, exponent))):
            return v if number_in(exponent) == -0.5 else None
    return None


def _is_square(value: Value, of: Value) -> bool:
    match value:
        case Value(producer=Node(op=Mul(), inputs=(x, y))):
            return x is of and y is of
        case Value(producer=Node(op=Pow(), inputs=(x, exponent))):
            return x is of and number_in(exponent) == 2 and value.type == of.type
    return False


def recognise_softmax(node: Node, b: Builder) -> Replacement:
    """exp(x - max(x)) / sum(exp(x - max(x))) = softmax(x)"""
    match node:
        case Node(
            op=Div(),
            inputs=(
                Value(producer=Node(op=Exp(), inputs=(Value(producer=Node(op=Sub(), inputs=(x, largest))),))) as powers,
                Value(producer=Node(op=ReduceSum(axes=(axis,), keepdims=True), inputs=(addends,))),
            ),
        ) if addends is powers and x.type == powers.type and x.type.kind in EXACT:
            pass
        case _:
            return None
    match largest:
        case Value(producer=Node(op=ReduceMax(axes=axes, keepdims=True), inputs=(y,))) if y is x and axes == (axis,):
            return b.add(Softmax(axis), x)
    return None


def recognise(graph: Graph) -> bool:
    """Apply these rules: once, before lowering spells out the larger operators for backends that do not have them."""
    return rewrite(graph, (recognise_standardize, recognise_softmax))
