"""Weights: constant factors and summands around a convolution or a matrix product become part of its constants.

This is how batch normalisation vanishes: it is lowered to one product and one sum for each channel.
"""

from __future__ import annotations

import numpy as np

from glowpy.passes.known import is_used_once, known
from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Div, Mul
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.rewrite import Replacement, Rule
from glowpy_ir.types import Array, TensorType


def along(value: Value, axis: int, type: TensorType) -> Array | None:
    """The elements of a known value along ``axis`` of a tensor of ``type``, if it is broadcast along all others.

    As many as the tensor has there, or one if it is broadcast along ``axis`` too.
    """
    data = known(value)
    if data is None or data.ndim > type.rank:
        return None
    shape = (1,) * (type.rank - data.ndim) + data.shape
    fits = shape[axis] in (1, type.shape[axis]) and all(n == 1 for i, n in enumerate(shape) if i != axis)
    return data.reshape(-1) if fits else None


def scaled(weights: Value, factor: Array, b: Builder) -> Value | None:
    """``weights * factor``; None if they are not known, or would overflow."""
    data = known(weights)
    return None if data is None else _constant(b, data * factor, weights)


def _constant(b: Builder, data: Array, like: Value) -> Value | None:
    with np.errstate(over="ignore"):
        rounded = np.asarray(data, like.type.kind.dtype)
    return b.constant(rounded, like.name) if np.isfinite(rounded).all() else None


def _factor(node: Node, axis: int) -> Array | None:
    """By what ``node`` multiplies its left operand along ``axis``."""
    match node:
        case Node(op=Mul() | Div() as op, inputs=(x, c)) if x.type == node.output.type and x.type.kind.is_float:
            factor = along(c, axis, x.type)
            if factor is None:
                return None
            with np.errstate(all="ignore"):
                return factor if op == Mul() else np.reciprocal(factor)
        case _:
            return None


def scale_conv(node: Node, b: Builder) -> Replacement:
    """conv(x, w, bias) * c = conv(x, w * c, bias * c), for a factor by channel, of floats"""
    match node:
        case Node(inputs=(Value(producer=Node(op=Conv() as conv, inputs=(x, weights, *bias))) as result, _)):
            factor = _factor(node, axis=1)
            if factor is None or not is_used_once(b.graph, result):
                return None
            made = [scaled(v, f, b) for v, f in ((weights, _by_result(factor, weights)), *((v, factor) for v in bias))]
            return b.add(conv, x, *(v for v in made if v)) if all(made) else None
        case _:
            return None


def _by_result(factor: Array, weights: Value) -> Array:
    return factor.reshape(-1, *(1,) * (weights.type.rank - 1))


def add_to_bias(node: Node, b: Builder) -> Replacement:
    """conv(x, w, bias) + c = conv(x, w, bias + c), for a summand by channel"""
    match node:
        case Node(
            op=Add(),
            inputs=(Value(producer=Node(op=Conv() as conv, inputs=(x, weights, *bias))) as result, c),
        ) if result.type == node.output.type and is_used_once(b.graph, result):
            summand = along(c, 1, result.type)
            old = known(bias[0]) if bias else np.zeros(weights.type.extents[:1], c.type.kind.dtype)
            if summand is None or old is None:
                return None
            new = _constant(b, old + summand, c)
            return b.add(conv, x, weights, new) if new else None
        case _:
            return None


def scale_before_conv(node: Node, b: Builder) -> Replacement:
    """conv(x * c, w) = conv(x, w * c), for a factor by channel of x, of floats"""
    match node:
        case Node(op=Conv() as conv, inputs=(Value(producer=Node(inputs=(x, _)) as product) as input, weights, *bias)):
            factor = _factor(product, axis=1)
            if factor is None or not is_used_once(b.graph, input):
                return None
            new = scaled(weights, _by_input(factor, conv, weights), b)
            return b.add(conv, x, new, *bias) if new else None
        case _:
            return None


def _by_input(factor: Array, conv: Conv, weights: Value) -> Array:
    results, depth, *kernel = weights.type.extents
    channels = np.broadcast_to(factor, conv.groups * depth).reshape(conv.groups, depth)
    return np.repeat(channels, results // conv.groups, axis=0).reshape(results, depth, *(1 for _ in kernel))


def add_before_conv(node: Node, b: Builder) -> Replacement:
    """conv(x + c, w, bias) = conv(x, w, bias + conv(c, w)), for a summand by channel and without padding, of floats"""
    match node:
        case Node(
            op=Conv() as conv,
            inputs=(Value(producer=Node(op=Add(), inputs=(x, c))) as input, weights, *bias),
        ) if x.type == input.type and x.type.kind.is_float and not any((*conv.before, *conv.after)):
            summand, matrix = along(c, 1, x.type), known(weights)
            old = known(bias[0]) if bias else np.zeros(weights.type.extents[:1], x.type.kind.dtype)
            if summand is None or matrix is None or old is None or not is_used_once(b.graph, input):
                return None
            shifted = matrix.astype(np.float64) * _by_input(summand, conv, weights)
            new = _constant(b, old + shifted.sum(axis=tuple(range(1, matrix.ndim))), c)
            return b.add(conv, x, weights, new) if new else None
        case _:
            return None


def scale_product(node: Node, b: Builder) -> Replacement:
    """(x @ w) * c = x @ (w * c), for a factor by column; (w @ x) * c = (w * c) @ x, for one by row; of floats"""
    match node:
        case Node(inputs=(Value(producer=Node(op=MatMul(), inputs=(lhs, rhs))) as result, _)):
            by_column, by_row = _factor(node, axis=-1 % result.type.rank), _factor(node, axis=-2 % result.type.rank)
            if not is_used_once(b.graph, result):
                return None
            if by_column is not None and (new := scaled(rhs, by_column, b)):
                return b.add(MatMul(), lhs, new)
            if by_row is not None and (new := scaled(lhs, by_row[:, None], b)):
                return b.add(MatMul(), new, rhs)
    return None


def scale_before_product(node: Node, b: Builder) -> Replacement:
    """(x * c) @ w = x @ (c * w), for a factor by column of x; w @ (x * c) = (w * c) @ x, for one by row; of floats"""
    match node:
        case Node(op=MatMul(), inputs=(Value(producer=Node(inputs=(x, _)) as product) as input, weights)):
            factor = _factor(product, axis=x.type.rank - 1)
            if factor is not None and is_used_once(b.graph, input) and (new := scaled(weights, factor[:, None], b)):
                return b.add(MatMul(), x, new)
    match node:
        case Node(op=MatMul(), inputs=(weights, Value(producer=Node(inputs=(x, _)) as product) as input)):
            factor = _factor(product, axis=x.type.rank - 2)
            if factor is not None and is_used_once(b.graph, input) and (new := scaled(weights, factor, b)):
                return b.add(MatMul(), new, x)
    return None


RULES: tuple[Rule, ...] = (
    scale_conv,
    add_to_bias,
    scale_before_conv,
    add_before_conv,
    scale_product,
    scale_before_product,
)
