"""Movements go behind element-wise operators, so that these meet the operator whose result they work on.

A movement costs nothing wherever it stands, or the same; but an epilogue can only be what follows its head directly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from glowpy.passes.known import is_known, is_used_once, known
from glowpy.passes.movement import aligned
from glowpy_ir.dims import is_static
from glowpy_ir.graph import Builder, Constant, Node, Value
from glowpy_ir.op import Movement
from glowpy_ir.ops.elementwise import Elementwise
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Transpose
from glowpy_ir.rewrite import Replacement, Rule

Shape = tuple[int, ...]


def sink_reshape(node: Node, b: Builder) -> Replacement:
    """op(reshape(x), y) = reshape(op(x, reshaped y)), where y is a reshaped tensor like x, or broadcast, or known"""
    if not isinstance(node.op, Elementwise) or not node.output.type.is_static:
        return None
    shape = node.output.type.extents
    if 0 in shape:
        return None
    sources = [s for v in node.inputs if (s := _reshaped(v, shape)) is not None]
    if not sources or any(source.type.shape != sources[0].type.shape for source in sources):
        return None
    target = sources[0].type.extents
    shapes = [_shape_before(value, shape, target) for value in node.inputs]
    if None in shapes:
        return None
    inputs = [_reshape(v, s, shape, b) for v, s in zip(node.inputs, shapes, strict=True) if s is not None]
    return b.add(Reshape(shape), b.add(node.op, *inputs))


def _reshaped(value: Value, shape: Shape) -> Value | None:
    """What ``value`` reshapes to ``shape``."""
    match value.producer:
        case Node(op=Reshape(), inputs=(x,)) if value.type.shape == shape and is_static(x.type.shape):
            return x
        case _:
            return None


def _shape_before(value: Value, shape: Shape, target: Shape) -> Shape | None:
    """What an operand that broadcasts to ``shape`` must be reshaped to, to broadcast alike to ``target``."""
    if _reshaped(value, shape) is not None:
        return target
    if not value.type.is_static:
        return None
    if math.prod(value.type.extents) == math.prod(shape) and known(value) is None:
        return None
    return regrouped(value.type.extents, shape, target)


def regrouped(broadcast: Shape, shape: Shape, target: Shape) -> Shape | None:
    """The shape that broadcasts to ``target`` as ``broadcast`` does to ``shape``, of which ``target`` is a reshape.

    None if there is none: a dimension of ``target`` would be repeated in part.
    """
    aligned = (1,) * (len(shape) - len(broadcast)) + broadcast
    result: list[int] = []
    for old, new in groups(shape, target):
        part = [aligned[i] for i in old]
        if all(n == 1 for n in part):
            result += [1] * len(new)
        elif part == [shape[i] for i in old]:
            result += [target[i] for i in new]
        else:
            return None
    return tuple(result)


def groups(shape: Shape, target: Shape) -> Iterator[tuple[range, range]]:
    """The least runs of dimensions of two shapes that have equal products, pairwise, from the front."""
    i = j = 0
    while i < len(shape) or j < len(target):
        start, begin = i, j
        i, j = min(i + 1, len(shape)), min(j + 1, len(target))
        while (left := math.prod(shape[start:i])) != (right := math.prod(target[begin:j])):
            i, j = (i + 1, j) if left < right else (i, j + 1)
        yield range(start, i), range(begin, j)


def _reshape(value: Value, shape: Shape, old: Shape, b: Builder) -> Value:
    source = _reshaped(value, old)
    if source is not None:
        return source
    if value.type.shape == shape or not value.type.shape:
        return value
    if isinstance(value, Constant):
        return b.constant(value.data.reshape(shape), value.name, value.type.with_shape(*shape))
    return b.add(Reshape(shape), value)


def sink_transpose(node: Node, b: Builder) -> Replacement:
    """op(transpose(x), c) = transpose(op(x, c)), where x is computed for this alone, and c is known"""
    if not isinstance(node.op, Elementwise):
        return None
    unknown = [value for value in node.inputs if not is_known(value)]
    match unknown:
        case [Value(producer=Node(op=Transpose(order=order), inputs=(x,))) as moved] if (
            moved.type.shape == node.output.type.shape and _is_computed_for(moved, b)
        ):
            inputs = [x if value is moved else _turned_back(value, order, b) for value in node.inputs]
            return b.add(Transpose(order), b.add(node.op, *inputs))
        case _:
            return None


def _is_computed_for(value: Value, b: Builder) -> bool:
    """Whether ``value`` is computed, and then only moved, for one use."""
    while is_used_once(b.graph, value):
        match value.producer:
            case Node(op=Reshape() | Transpose(), inputs=(value,)):
                continue
            case Node(op=op):
                return not isinstance(op, Movement | Concat | Pad)
            case _:
                return False
    return False


def _turned_back(value: Value, order: tuple[int, ...], b: Builder) -> Value:
    if not value.type.shape:
        return value
    whole = b.add(Reshape(aligned(value.type, len(order))), value)
    return b.add(Transpose(tuple(order.index(axis) for axis in range(len(order)))), whole)


def transpose_before_reshape(node: Node, b: Builder) -> Replacement:
    """transpose(reshape(x)) = reshape(transpose(x)), where dimensions that are split or merged stay together"""
    match node:
        case Node(op=Transpose(order=order), inputs=(Value(producer=Node(op=Reshape(), inputs=(x,))) as flat,)):
            if not (x.type.is_static and flat.type.is_static) or 0 in x.type.extents:
                return None
            before = _order_before(order, list(groups(x.type.extents, flat.type.extents)))
            return b.add(Reshape(node.output.type.shape), b.add(Transpose(before), x)) if before else None
        case _:
            return None


def _order_before(order: tuple[int, ...], runs: list[tuple[range, range]]) -> tuple[int, ...] | None:
    """The order of the dimensions of x that moves each run as ``order`` moves what it becomes; None if it is torn."""
    by_first = {new[0]: (old, new) for old, new in runs if new}
    result: list[int] = []
    position = 0
    while position < len(order):
        old, new = by_first.get(order[position], (range(0), range(0)))
        if not new or order[position : position + len(new)] != tuple(new):
            return None
        result += old
        position += len(new)
    return (*result, *(axis for old, new in runs if not new for axis in old))


RULES: tuple[Rule, ...] = (sink_reshape, sink_transpose, transpose_before_reshape)
