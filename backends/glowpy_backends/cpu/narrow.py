"""Layout rules for products of narrow elements: they become products of wider ones, for which there are kernels.

Of integers, these are i16, or where there is no kernel, i32; of 16-bit floats, f32, and sums are rounded once.
"""

from __future__ import annotations

from glowpy_backends.cpu.packed_matmul import PairedMatMul
from glowpy_ir.graph import Builder, Constant, Node, Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.linear import NARROW, MatMul
from glowpy_ir.ops.movement import Pad, Reshape, Transpose
from glowpy_ir.types import Kind


def product_of_i16(node: Node, b: Builder) -> Value | None:
    """x @ y = i16(x) @ i16(y), conv(x, w) = conv(i16(x), i16(w)), of integers of eight bits"""
    return _as(Kind.I16, node, b)


def product_of_i32(node: Node, b: Builder) -> Value | None:
    """x @ y = i32(x) @ i32(y), conv(x, w) = conv(i32(x), i32(w)), of narrow integers"""
    return _as(Kind.I32, node, b)


def product_of_pairs(node: Node, b: Builder) -> Value | None:
    """x @ y = paired(x, rows of y two by two), of i16"""
    match node:
        case Node(op=MatMul(), inputs=(x, y)) if {x.type.kind, y.type.kind} == {Kind.I16} and node.output.type.count:
            pass
        case _:
            return None
    *batch, depth, columns = y.type.extents
    if depth % 2:
        x = b.add(Pad((0,) * x.type.rank, (*(0 for _ in x.type.shape[1:]), 1)), x)
        y = b.add(Pad((0,) * y.type.rank, (*(0 for _ in batch), 1, 0)), y)
    depth = (depth + 1) // 2
    rank = y.type.rank
    rows = b.add(Reshape((*batch, depth, 2, columns)), y)
    pairs = b.add(Transpose((*range(rank - 1), rank, rank - 1)), rows)
    return b.add(PairedMatMul(), x, b.add(Reshape((*batch, depth, 2 * columns)), pairs))


def product_of_f32(node: Node, b: Builder) -> Value | None:
    """x @ y = half(f32(x) @ f32(y)), conv(x, w, c) = half(conv(f32(x), f32(w), f32(c))), of 16-bit floats"""
    match node:
        case Node(op=MatMul() | Conv() as op, inputs=inputs) if node.output.type.kind in (Kind.F16, Kind.BF16):
            return b.add(Cast(node.output.type.kind), b.add(op, *(_cast(b, value, Kind.F32) for value in inputs)))
    return None


def _as(kind: Kind, node: Node, b: Builder) -> Value | None:
    match node:
        case Node(op=MatMul() | Conv() as op, inputs=(x, y, *bias)):
            kinds = {x.type.kind, y.type.kind}
            if kinds <= NARROW and kinds != {kind}:
                return b.add(op, _cast(b, x, kind), _cast(b, y, kind), *bias)
    return None


def _cast(b: Builder, value: Value, kind: Kind) -> Value:
    if isinstance(value, Constant):
        return b.constant(value.data.astype(kind.dtype), value.name)
    return value if value.type.kind is kind else b.add(Cast(kind), value)
