"""Constants: what is known now is computed now, unless that takes absurdly more memory than computing it later."""

from __future__ import annotations

import math

import numpy as np

from glowpy.passes.known import is_splat, known, number_in
from glowpy_ir.errors import GlowError, TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.graph import Builder, Constant, Graph, Node
from glowpy_ir.infer import OnTypes
from glowpy_ir.op import Movement
from glowpy_ir.ops.elementwise import Elementwise, Splat
from glowpy_ir.ops.movement import Concat, Pad
from glowpy_ir.ops.reduction import ReduceMax, ReduceMin, ReduceSum, Reduction, bounds
from glowpy_ir.rewrite import Replacement, Rule, rewrite
from glowpy_ir.types import Kind, TensorType

GROWTH = 4
"""A result may take so many times the bytes of its operands: as much as int8 weights gain as float32.

Weights that are dequantized for a product of floats do become floats here: that takes memory, and no time later.
"""

SMALL = 1 << 16
"""Results of at most so many bytes are always computed now."""


def compute_constants(node: Node, b: Builder) -> Replacement:
    """op(constants) = constants, but for loops, which may take forever"""
    if node.regions or not node.inputs or not all(value.type.is_static for value in node.outputs):
        return None
    budget = max(SMALL, GROWTH * sum(v.type.nbytes for v in node.inputs if isinstance(v, Constant)))
    if sum(value.type.nbytes for value in node.outputs) > budget:
        return None
    arrays = [array for value in node.inputs if (array := known(value)) is not None and value.type.nbytes <= budget]
    if len(arrays) < len(node.inputs):
        return None
    try:
        with np.errstate(all="ignore"):
            results = apply(node.op, *arrays)
    except GlowError as error:
        raise error.at(node.origin) from None
    made = zip(results, node.outputs, strict=True)  # views stay views: who lays weights out anew reads them once
    return tuple(b.constant(data, old.name, old.type) for data, old in made)


def compute_one_element(node: Node, b: Builder) -> Replacement:
    """op(splats) = splat(op(their numbers))"""
    numbers = [number_in(value) for value in node.inputs if is_splat(value)]
    if not isinstance(node.op, Elementwise) or len(numbers) < len(node.inputs):
        return None
    elements = (np.array(n, v.type.kind.dtype) for n, v in zip(numbers, node.inputs, strict=True))
    (result,) = apply(node.op, *elements)
    type = node.output.type
    if type.kind is Kind.STRING:
        return None
    return b.add(Splat(float(result) if type.kind.is_float else int(result), type.kind, type.shape))


def move_splat(node: Node, b: Builder) -> Replacement:
    """movement(splat) = splat, of the shape of the result"""
    number = number_in(node.inputs[0]) if node.inputs and is_splat(node.inputs[0]) else None
    if number is None:
        return None
    match node.op:
        case Movement():
            pass
        case Pad(value=value) if repr(float(value)) == repr(float(number)):
            pass
        case Concat() if all(is_splat(v) and repr(number_in(v)) == repr(number) for v in node.inputs):
            pass
        case _:
            return None
    return b.add(Splat(number, node.output.type.kind, node.output.type.shape))


def reduce_splat(node: Node, b: Builder) -> Replacement:
    """max(splat) = min(splat) = its number, sum(splat) = its number times how many there are"""
    match node:
        case Node(op=Reduction(axes=axes) as op, inputs=(value,)) if value.type.is_static and is_splat(value):
            number, count = number_in(value), math.prod(value.type.extents[axis] for axis in axes)
        case _:
            return None
    if number is None or not count:
        return None
    match op:
        case ReduceMax() | ReduceMin():
            pass
        case ReduceSum():
            number *= count
        case _:
            return None
    least, most = bounds(value.type.kind)
    if not least <= number <= most:
        return None
    return b.add(Splat(number, value.type.kind, node.output.type.shape))


def take_number(node: Node, b: Builder) -> Replacement:
    """op(x, tensor of one number) = op(x, number), of element-wise operators, where that does not narrow the result"""
    if not isinstance(node.op, Elementwise):
        return None
    inputs = list(node.inputs)
    for i, value in enumerate(inputs):
        number = number_in(value) if isinstance(value, Constant) or (is_splat(value) and value.type.shape) else None
        if number is None:
            continue
        scalar = TensorType(value.type.kind, ())
        keeps_shape = _infer(node, [*(v.type for v in inputs[:i]), scalar, *(v.type for v in inputs[i + 1 :])])
        if keeps_shape or isinstance(value, Constant):
            inputs[i] = b.add(Splat(number, scalar.kind, () if keeps_shape else value.type.shape))
    return b.add(node.op, *inputs) if tuple(inputs) != node.inputs else None


def _infer(node: Node, types: list[TensorType]) -> bool:
    try:
        return OnTypes().add(node.op, *types) == node.output.type
    except TypeMismatch:
        return False


RULES: tuple[Rule, ...] = (compute_one_element, move_splat, reduce_splat, compute_constants, take_number)


def fold_constants(graph: Graph) -> bool:
    """Compute what is known now."""
    return rewrite(graph, RULES)
