"""Movement: elements that are moved once, or not at all."""

from __future__ import annotations

from glowpy_ir.dims import Dim, Expr, is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.infer import OnTypes
from glowpy_ir.op import Op
from glowpy_ir.ops.elementwise import Elementwise, Splat
from glowpy_ir.ops.movement import Expand, Pad, Reshape, Slice, Transpose
from glowpy_ir.rewrite import Replacement, Rule
from glowpy_ir.types import Kind, TensorType


def move_nothing(node: Node, b: Builder) -> Replacement:
    """move(x) = x, where neither the shape nor the order of the elements changes"""
    match node:
        case Node(op=Reshape() | Expand() | Pad(), inputs=(x,)) if x.type == node.output.type:
            return x
        case Node(op=Slice(steps=steps), inputs=(x,)) if x.type == node.output.type and min(steps, default=1) > 0:
            return x
        case Node(op=Transpose(order=order), inputs=(x,)) if order == tuple(range(len(order))):
            return x
        case _:
            return None


def move_twice(node: Node, b: Builder) -> Replacement:
    """move(move(x)) = move(x), of two movements of one kind"""
    match node:
        case Node(op=outer, inputs=(Value(producer=Node(op=inner, inputs=(x,))),)) if type(outer) is type(inner):
            op = _compose(outer, inner)
            return b.add(op, x) if op else None
        case _:
            return None


def _compose(outer: Op, inner: Op) -> Op | None:
    match outer, inner:
        case (Reshape(), Reshape()) | (Expand(), Expand()):
            return outer
        case Transpose(order=last), Transpose(order=first):
            return Transpose(tuple(first[axis] for axis in last))
        case Slice(starts=b, shape=shape, steps=s), Slice(starts=a, steps=r):
            starts = tuple(i + j * k for i, j, k in zip(a, b, r, strict=True))
            return Slice(starts, shape, tuple(i * j for i, j in zip(s, r, strict=True)))
        case Pad(before=b, after=a, value=v), Pad(before=d, after=c, value=w) if repr(float(v)) == repr(float(w)):
            return Pad(added(b, d), added(a, c), v)
        case _:
            return None


def added(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The sums of two lists, pairwise."""
    return tuple(i + j for i, j in zip(a, b, strict=True))


def transpose_ones(node: Node, b: Builder) -> Replacement:
    """transpose(x) = reshape(x), where only dimensions of extent one change places"""
    match node:
        case Node(op=Transpose(order=order), inputs=(x,)) if is_reshape(order, x.type):
            return b.add(Reshape(node.output.type.shape), x)
        case _:
            return None


def is_reshape(order: tuple[int, ...], type: TensorType) -> bool:
    """Whether transposing a tensor of ``type`` leaves its elements in their order."""
    wide = [axis for axis in order if type.shape[axis] != 1]
    return wide == sorted(wide)


def expand_later(node: Node, b: Builder) -> Replacement:
    """op(expand(x), y) = expand(op(x, y)), of element-wise operators, or op(x, y) if that is as large already"""
    if not isinstance(node.op, Elementwise) or not any(_narrow(value) for value in node.inputs):
        return None
    inputs = [b.add(Splat(*narrow)) if isinstance(narrow := _narrow(v), tuple) else narrow or v for v in node.inputs]
    result = b.add(node.op, *inputs)
    return result if result.type == node.output.type else b.add(Expand(node.output.type.shape), result)


def _narrow(value: Value) -> Value | tuple[float | Expr, Kind] | None:
    """What is repeated in ``value``: another value, or one number of some kind."""
    match value.producer:
        case Node(op=Expand(), inputs=(x,)):
            return x
        case Node(op=Splat(value=number, kind=kind)) if value.type.shape:
            return number, kind
        case _:
            return None


def _gives_same(node: Node, inputs: list[Value]) -> bool:
    try:
        return OnTypes().add(node.op, *(value.type for value in inputs)) == node.output.type
    except TypeMismatch:
        return False


def lies_in(cut: Slice, type: TensorType) -> bool:
    """Whether ``cut`` takes something from a tensor of ``type``, and only what is there."""
    if not is_static((*cut.starts, *cut.shape, *type.shape)) or 0 in cut.shape:
        return False
    try:
        cut.infer(type)
    except TypeMismatch:
        return False
    return True


def slice_of_expand(node: Node, b: Builder) -> Replacement:
    """slice(expand(x)) = expand(slice(x)): what is repeated need not be cut"""
    match node:
        case Node(
            op=Slice(starts=starts, shape=shape, steps=steps), inputs=(Value(producer=Node(op=Expand(), inputs=(x,))),)
        ):
            lead = len(shape) - x.type.rank
            one = [extent == 1 for extent in x.type.shape]
            cut = Slice(
                tuple(0 if o else start for o, start in zip(one, starts[lead:], strict=True)),
                tuple(1 if o else extent for o, extent in zip(one, shape[lead:], strict=True)),
                tuple(1 if o else step for o, step in zip(one, steps[lead:], strict=True)),
            )
            return b.add(Expand(shape), b.add(cut, x))
        case _:
            return None


def aligned(type: TensorType, rank: int) -> tuple[Dim, ...]:
    """The shape of ``type`` with ones in front, as broadcasting to ``rank`` dimensions sees it."""
    return (1,) * (rank - type.rank) + type.shape


def bias_shape(node: Node, b: Builder) -> Replacement:
    """op(x, reshape(y)) = op(x, y), where the reshape only puts dimensions of one in front of a narrower tensor"""
    if not isinstance(node.op, Elementwise):
        return None
    inputs = list(node.inputs)
    for i, value in enumerate(inputs):
        match value.producer:
            case Node(op=Reshape(shape=shape), inputs=(x,)) if shape == aligned(x.type, len(shape)):
                if _gives_same(node, [*inputs[:i], x, *inputs[i + 1 :]]):
                    inputs[i] = x
    return b.add(node.op, *inputs) if tuple(inputs) != node.inputs else None


RULES: tuple[Rule, ...] = (
    move_nothing,
    move_twice,
    transpose_ones,
    expand_later,
    slice_of_expand,
    bias_shape,
)
