"""Quantization: to narrow integers and back, and products and convolutions of them."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy.onnx.operators.convolution import read_conv
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.quantization import (
    ConvInteger,
    DequantizeLinear,
    DynamicQuantizeLinear,
    MatMulInteger,
    QLinearConv,
    QLinearMatMul,
    QuantizeLinear,
)
from glowpy_ir.types import Kind


def load_quantize_linear(c: NodeContext) -> Value:
    """ONNX QuantizeLinear; the attributes came one after the other until version 23."""
    zero = c.optional(2)
    wanted = _kind(c, "output_dtype")
    kind = zero.type.kind if zero else wanted or Kind.U8
    if wanted and wanted is not kind:
        raise BadModel(f"output_dtype is {wanted.value}, but the zero point is {kind.value}")
    axis, block = granularity(c)
    op = QuantizeLinear(kind, axis, block, c.attributes.flag("saturate", True), _kind(c, "precision"))
    return c.b.add(op, c.input(0), c.input(1), *((zero,) if zero else ()))


def load_dequantize_linear(c: NodeContext) -> Value:
    """ONNX DequantizeLinear; the attributes came one after the other until version 23."""
    axis, block = granularity(c)
    zero = c.optional(2)
    op = DequantizeLinear(axis, block, _kind(c, "output_dtype"))
    return c.b.add_unfolded(op, c.input(0), c.input(1), *((zero,) if zero else ()))


def granularity(c: NodeContext) -> tuple[int, int]:
    """Along which axis scales differ, and how long their blocks are; 0 for none."""
    axis, block = c.attributes.int("axis", 1), c.attributes.int("block_size", 0)
    differ = c.type(1).rank > 0 and c.type(1).shape != (1,)
    return (positive_axis(axis, c.type(0).rank) if differ or block else 0), block


def _kind(c: NodeContext, name: str) -> Kind | None:
    """An element kind; None if it is left out or 0."""
    return c.attributes.kind(name) if c.attributes.int(name, 0) else None


def load_dynamic_quantize_linear(c: NodeContext) -> tuple[Value, ...]:
    """ONNX DynamicQuantizeLinear."""
    return c.b.add_all(DynamicQuantizeLinear(), c.input(0))


def zero_or_none(c: NodeContext, index: int, like: Value) -> Value:
    """The zero point at ``index``; one that is left out is 0."""
    return c.optional(index) or c.b.add(Splat(0, like.type.kind))


def load_matmul_integer(c: NodeContext) -> Value:
    """ONNX MatMulInteger."""
    lhs, rhs = c.input(0), c.input(1)
    return c.b.add(MatMulInteger(), lhs, rhs, zero_or_none(c, 2, lhs), zero_or_none(c, 3, rhs))


def load_conv_integer(c: NodeContext) -> Value:
    """ONNX ConvInteger."""
    input, weights = c.input(0), c.input(1)
    op = ConvInteger(read_conv(c, weights.type))
    return c.b.add(op, input, weights, zero_or_none(c, 2, input), zero_or_none(c, 3, weights))


def load_qlinear_matmul(c: NodeContext) -> Value:
    """ONNX QLinearMatMul."""
    return c.b.add(QLinearMatMul(), *c.operands())


def load_qlinear_conv(c: NodeContext) -> Value:
    """ONNX QLinearConv."""
    bias = c.optional(8)
    op = QLinearConv(read_conv(c, c.type(3)))
    return c.b.add(op, *(c.input(i) for i in range(8)), *((bias,) if bias else ()))


LOADERS: Table = {
    ("ConvInteger", 10): load_conv_integer,
    ("DequantizeLinear", 10): load_dequantize_linear,
    ("DynamicQuantizeLinear", 11): load_dynamic_quantize_linear,
    ("MatMulInteger", 10): load_matmul_integer,
    ("QLinearConv", 10): load_qlinear_conv,
    ("QLinearMatMul", 10): load_qlinear_matmul,
    ("QuantizeLinear", 10): load_quantize_linear,
}
