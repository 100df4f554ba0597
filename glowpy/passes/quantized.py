"""Quantized networks: integers stay integers.

A model says where numbers are quantized; between a dequantized operand and the quantization of a result the arithmetic
is free. Products of the stored integers are exact, and cheaper than those of the floats they stand for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from glowpy.passes.known import known, number_in
from glowpy_ir.evaluate import apply
from glowpy_ir.graph import Builder, Constant, Graph, Node, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Div, Elementwise, Max, Min, Mul, Splat, scalar
from glowpy_ir.ops.functions import Round
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Reshape, Transpose
from glowpy_ir.ops.quantization import ConvInteger, DequantizeLinear, MatMulInteger
from glowpy_ir.rewrite import Replacement, Rule, rewrite
from glowpy_ir.types import Array, Kind

BYTES = frozenset({Kind.I8, Kind.U8})

DEEPEST = (1 << 31) // (255 * 255)
"""So many products of integers of eight bits have a sum that fits i32."""

LONGEST = 24
"""The most element-wise operators that are looked through between two quantized tensors."""


def clamp_bytes(node: Node, b: Builder) -> Replacement:
    """f(x) = min(max(x, low), high), of integers of eight bits, if that is what f does to all 256 of them"""
    match node:
        case Node(op=Cast(to=kind)) if kind in BYTES:
            found = _function_of_byte(node)
        case _:
            return None
    if found is None:
        return None
    source, table = found
    low, high = (int(end) for end in kind.limits)
    everything = _all_of(kind)
    least, most = int(table.min()), int(table.max())
    if source.type.kind is not kind or not np.array_equal(np.clip(everything, least, most), table):
        return None
    result = source
    if least > low:
        result = b.add(Max(), result, scalar(b, least, result))
    if most < high:
        result = b.add(Min(), result, scalar(b, most, result))
    return result


def _all_of(kind: Kind) -> Array:
    low, high = kind.limits
    return np.arange(low, high + 1).astype(kind.dtype)


def _function_of_byte(node: Node) -> tuple[Value, Array] | None:
    """The integers of eight bits of which alone a node's result depends, and what it makes of each."""
    steps: list[tuple[Op, tuple[Value, ...], Value]] = []
    while len(steps) < LONGEST:
        if not isinstance(node.op, Elementwise):
            return None
        unknown = [value for value in node.inputs if number_in(value) is None]
        if len(unknown) != 1 or unknown[0].type.shape != node.output.type.shape:
            return None
        (source,) = unknown
        steps.append((node.op, node.inputs, source))
        if source.type.kind in BYTES and len(steps) > 1:
            return source, _table(source, steps)
        if source.producer is None:
            return None
        node = source.producer
    return None


def _table(source: Value, steps: list[tuple[Op, tuple[Value, ...], Value]]) -> Array:
    result = _all_of(source.type.kind)
    with np.errstate(all="ignore"):
        for op, inputs, changing in reversed(steps):
            arrays = [result if v is changing else np.asarray(number_in(v), v.type.kind.dtype) for v in inputs]
            (result,) = apply(op, *arrays)
    return result


def limit_last(node: Node, b: Builder) -> Replacement:
    """cast(f(min(max(x, c), d))) = cast(min(max(f(x), f(c)), f(d))), where f adds, divides and rounds

    Each of these keeps the order of numbers, and so does rounding. A cast to integers of eight bits has limits of its
    own, which mostly are the narrower ones.
    """
    match node:
        case Node(op=Cast(to=kind) as op, inputs=(value,)) if kind in BYTES and value.type.kind is Kind.F32:
            pass
        case _:
            return None
    path: list[Node] = []
    limits: list[tuple[Op, Array]] = []
    while (step := value.producer) is not None and (inner := _ascending(step)) is not None:
        if isinstance(step.op, Max | Min):
            limit = _float(step.inputs[1])
            for later in path:
                (limit,) = apply(later.op, limit, *map(_float, later.inputs[1:]))
            limits.insert(0, (step.op, limit))
        else:
            path.insert(0, step)
        value = inner
    low, high = kind.limits
    needed = [(o, n) for o, n in limits if not (n <= low if isinstance(o, Max) else n >= high)]
    if not limits or (len(needed) == len(limits) and _are_last(node, len(limits))):
        return None
    for step in path:
        value = b.add(step.op, value, *step.inputs[1:])
    for limiter, number in needed:
        value = b.add(limiter, value, b.add(Splat(float(number))))
    return b.add(op, value)


def _float(value: Value) -> Array:
    return np.asarray(number_in(value), np.float32)


def _ascending(node: Node) -> Value | None:
    """The operand of which a node makes something in the same order."""
    match node:
        case Node(op=Round(), inputs=(x,)):
            return x
        case Node(op=Add() | Max() | Min(), inputs=(x, c)) if x.type == node.output.type:
            number = number_in(c)
            return x if number is not None and math.isfinite(number) else None
        case Node(op=Div(), inputs=(x, c)) if x.type == node.output.type:
            number = number_in(c)
            return x if number is not None and 0 < number < math.inf else None
    return None


def _are_last(node: Node, count: int) -> bool:
    """Whether the ``count`` operators before a node are limits."""
    for _ in range(count):
        step = node.inputs[0].producer
        if step is None or not isinstance(step.op, Max | Min):
            return False
        node = step
    return True


@dataclass(frozen=True)
class Quantized:
    """A dequantized tensor: what is stored, the scale and the zero, and the axis along which these differ, if any."""

    stored: Value
    data: Array | None
    """The stored elements in the order of the dequantized ones, if they are known."""
    scale: Array
    zero: Array
    axis: int | None

    @classmethod
    def of(cls, value: Value) -> Quantized | None:
        """What ``value`` was dequantized from; None if it was not, or if scale and zero are not known."""
        match value:
            case Value(producer=Node(op=Transpose(order=order), inputs=(inner,))):
                found = cls.of(inner)
                if found is None or found.data is None:
                    return None
                axis = None if found.axis is None else order.index(found.axis)
                return replace(found, data=found.data.transpose(order), axis=axis)
            case Value(producer=Node(op=DequantizeLinear(block=0) as op, inputs=(stored, *parts))):
                arrays = [array for part in parts if (array := known(part)) is not None]
                if len(arrays) < len(parts) or value.type.kind is not Kind.F32 or arrays[0].dtype != np.float32:
                    return None
                scale, zero = (*arrays, np.zeros(arrays[0].shape, stored.type.kind.dtype))[:2]
                data = stored.data if isinstance(stored, Constant) else None
                return cls(stored, data, scale, zero, op.axis if scale.size > 1 else None)
        return None


def convolve_integers(node: Node, b: Builder) -> Replacement:
    """conv(dequantized x, dequantized w, bias) = conv(x - zero of x, w - zero of w) * their scales + bias"""
    match node:
        case Node(op=Conv() as conv, inputs=(image, weights, *bias)):
            sums = _integer_product(b, ConvInteger(conv), image, weights, axis=0)
        case _:
            return None
    if sums is None:
        return None
    column = (-1, *(1 for _ in image.type.shape[2:]))
    scale = sums[1].reshape(column if sums[1].size > 1 else ())
    result, *addends = (sums[0], *(b.add(Reshape((*part.type.shape, *column[1:])), part) for part in bias))
    steps = None if not bias else _in_steps(bias[0], sums[1])
    if steps is not None:
        result, addends = b.add(Add(), result, b.constant(steps.reshape(column))), []
    product = b.add(Mul(), b.add(Cast(Kind.F32), result), b.constant(scale))
    return b.add(Add(), product, *addends) if addends else product


def multiply_integers(node: Node, b: Builder) -> Replacement:
    """dequantized x @ dequantized w = ((x - zero of x) @ (w - zero of w)) * their scales"""
    match node:
        case Node(op=MatMul(), inputs=(lhs, rhs)) if rhs.type.rank == 2:
            sums = _integer_product(b, MatMulInteger(), lhs, rhs, axis=1)
        case _:
            return None
    return None if sums is None else b.add(Mul(), b.add(Cast(Kind.F32), sums[0]), b.constant(sums[1]))


def _integer_product(b: Builder, op: Op, lhs: Value, rhs: Value, axis: int) -> tuple[Value, Array] | None:
    """What ``op`` makes of the stored integers, and the product of the scales; ``axis`` of ``rhs`` is the results'."""
    x, w = Quantized.of(lhs), Quantized.of(rhs)
    if x is None or w is None or w.data is None or x.axis is not None or w.axis not in (None, axis):
        return None
    depth = w.data.size // max(1, w.data.shape[axis])
    if not {x.stored.type.kind, w.stored.type.kind} <= BYTES or depth > DEEPEST:
        return None
    zeros = (b.constant(x.zero.reshape(())), b.constant(w.zero if w.axis is not None else w.zero.reshape(())))
    data = b.constant(np.ascontiguousarray(w.data), w.stored.name)
    return b.add(op, x.stored, data, *zeros), np.asarray(x.scale.reshape(()) * w.scale, np.float32)


def _in_steps(bias: Value, scale: Array) -> Array | None:
    """A dequantized constant of i32 that has these scales, as it is stored."""
    found = Quantized.of(bias)
    if found is None or found.data is None or found.data.dtype != np.int32 or found.zero.any():
        return None
    return found.data if np.allclose(found.scale.ravel(), scale.ravel(), rtol=1e-6, atol=0) else None


RULES: tuple[Rule, ...] = (clamp_bytes, limit_last)


def use_integers(graph: Graph) -> bool:
    """Compute products of dequantized tensors from the integers: before constants are folded, which hides them."""
    return rewrite(graph, (convolve_integers, multiply_integers))
