"""com.microsoft's quantized operators: dequantized, computed, and quantized again, or products of integers."""

from __future__ import annotations

from dataclasses import replace

from glowpy.onnx.context import Loader, NodeContext, Table, positive_axes, positive_axis
from glowpy.onnx.operators.pooling import load_average_pool
from glowpy.onnx.operators.quantization import load_dequantize_linear, load_quantize_linear, zero_or_none
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import LeakyRelu
from glowpy_ir.ops.elementwise import Add, Div, Mul, Splat, Sub, scalar
from glowpy_ir.ops.functions import Sigmoid
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import Select
from glowpy_ir.ops.movement import Concat, Reshape, Transpose, full_slice
from glowpy_ir.ops.quantization import (
    DequantizeLinear,
    DynamicQuantizeLinear,
    MatMulInteger,
    QuantizeLinear,
    Requantize,
    UnpackBits,
)
from glowpy_ir.ops.reduction import ReduceMean, cast
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.types import Kind

DOMAIN = "com.microsoft"


def dequantized(c: NodeContext, index: int) -> Value:
    """The operand at ``index``, whose scale and optional zero follow it, as f32."""
    return c.b.add(DequantizeLinear(), c.input(index), c.input(index + 1), *_given(c, index + 2))


def quantized(c: NodeContext, value: Value, index: int) -> Value:
    """A value by the scale at ``index`` and the optional zero behind it; without one, as the first operand."""
    zero = _given(c, index + 1)
    kind = zero[0].type.kind if zero else c.type(0).kind
    return c.b.add(QuantizeLinear(kind), value, c.input(index), *zero)


def _given(c: NodeContext, index: int) -> tuple[Value, ...]:
    value = c.optional(index)
    return () if value is None else (value,)


def of_one(op: Op) -> Loader:
    """A loader for ``op`` on one quantized operand."""
    return lambda c: quantized(c, c.b.add(op, dequantized(c, 0)), 3)


def of_two(op: Op) -> Loader:
    """A loader for ``op`` on two quantized operands."""
    return lambda c: quantized(c, c.b.add(op, dequantized(c, 0), dequantized(c, 3)), 6)


def load_leaky_relu(c: NodeContext) -> Value:
    """com.microsoft QLinearLeakyRelu."""
    return of_one(LeakyRelu(c.attributes.float("alpha", 0.01)))(c)  # type: ignore[return-value]


def load_softmax(c: NodeContext) -> Value:
    """com.microsoft QLinearSoftmax; before version 13 of the standard, the axis and all later ones are one."""
    value = dequantized(c, 0)
    axis = positive_axis(c.attributes.int("axis", -1), value.type.rank)
    if c.attributes.int("opset") < 13 and any(dim != 1 for dim in value.type.shape[axis + 1 :]):
        raise Unsupported("softmax along several axes is not supported; convert the model to version 13 or newer")
    return quantized(c, c.b.add(Softmax(axis), value), 3)


def load_where(c: NodeContext) -> Value:
    """com.microsoft QLinearWhere."""
    chosen = c.b.add(Select(), c.input(0), dequantized(c, 1), dequantized(c, 4))
    zero = c.input(8)
    return c.b.add(QuantizeLinear(zero.type.kind), chosen, c.input(7), zero)


def load_concat(c: NodeContext) -> Value:
    """com.microsoft QLinearConcat: the result's scale and zero, then each part with its own."""
    operands = c.operands()
    if len(operands) < 5 or len(operands) % 3 != 2:
        raise BadModel(f"it takes a scale, a zero, and three operands for each part; not {len(operands)} operands")
    scale, zero, *rest = operands
    parts = [c.b.add(DequantizeLinear(), *rest[i : i + 3]) for i in range(0, len(rest), 3)]
    joined = c.b.add(Concat(positive_axis(c.attributes.int("axis"), parts[0].type.rank)), *parts)
    return c.b.add(QuantizeLinear(zero.type.kind), joined, scale, zero)


def load_reduce_mean(c: NodeContext) -> Value:
    """com.microsoft QLinearReduceMean."""
    value = dequantized(c, 0)
    axes = positive_axes(c.attributes.ints("axes", ()) or tuple(range(value.type.rank)), value.type.rank)
    op = ReduceMean(tuple(sorted(axes)), c.attributes.flag("keepdims", True))
    return quantized(c, c.b.add(op, value), 3)


def load_global_average_pool(c: NodeContext) -> Value:
    """com.microsoft QLinearGlobalAveragePool."""
    value = dequantized(c, 0)
    axes = range(1, value.type.rank - 1) if c.attributes.flag("channels_last", False) else range(2, value.type.rank)
    return quantized(c, c.b.add(ReduceMean(tuple(axes)), value), 3)


def load_pool(c: NodeContext) -> Value:
    """com.microsoft QLinearAveragePool."""
    value = dequantized(c, 0)
    if not c.attributes.flag("channels_last", False):
        return quantized(c, load_average_pool(replace(c, inputs=(value,))), 3)
    pool = load_average_pool(replace(c, inputs=(channels_first(c, value),)))
    return quantized(c, channels_last(c, pool), 3)


def channels_first(c: NodeContext, value: Value) -> Value:
    """``[N, *spatial, C]`` as ``[N, C, *spatial]``."""
    rank = value.type.rank
    return c.b.add(Transpose((0, rank - 1, *range(1, rank - 1))), value)


def channels_last(c: NodeContext, value: Value) -> Value:
    """``[N, C, *spatial]`` as ``[N, *spatial, C]``."""
    rank = value.type.rank
    return c.b.add(Transpose((0, *range(2, rank), 1)), value)


def load_gemm(c: NodeContext) -> Value:
    """com.microsoft QGemm: the product of integers, with an addend that has its steps; quantized if a scale says so."""
    lhs, rhs = c.input(0), c.input(3)
    zeros = [zero_or_none(c, 2, lhs), zero_or_none(c, 5, rhs)]
    factor = c.b.add(Mul(), c.input(1), c.input(4))
    if c.attributes.flag("transA", False):
        lhs = c.b.add(Transpose((1, 0)), lhs)
    if c.attributes.flag("transB", False):
        rhs = c.b.add(Transpose((1, 0)), rhs)
    sums = c.b.add(MatMulInteger(), lhs, rhs, *zeros)
    for addend in _given(c, 6):
        sums = c.b.add(Add(), sums, addend)
    alpha = c.attributes.float("alpha", 1.0)
    factor = factor if alpha == 1 else c.b.add(Mul(), scalar(c.b, alpha, factor), factor)
    if c.optional(7) is None:
        return c.b.add(Mul(), cast(c.b, sums, Kind.F32), factor)
    return c.b.add(Requantize(), sums, c.b.add(Div(), factor, c.input(7)), c.input(8))


def load_matmul_integer_to_float(c: NodeContext) -> Value:
    """com.microsoft MatMulIntegerToFloat: operands, scales, zeros, bias."""
    lhs, rhs = c.input(0), c.input(1)
    sums = c.b.add(MatMulInteger(), lhs, rhs, zero_or_none(c, 4, lhs), zero_or_none(c, 5, rhs))
    return _real(c, sums, c.b.add(Mul(), c.input(2), c.input(3)), 6)


def load_dynamic_quantize_matmul(c: NodeContext) -> Value:
    """com.microsoft DynamicQuantizeMatMul: the left operand is quantized first."""
    lhs, scale, zero = c.b.add_all(DynamicQuantizeLinear(), c.input(0))
    rhs = c.input(1)
    sums = c.b.add(MatMulInteger(), lhs, rhs, zero, zero_or_none(c, 3, rhs))
    return _real(c, sums, c.b.add(Mul(), scale, c.input(2)), 4)


def _real(c: NodeContext, sums: Value, factor: Value, bias: int) -> Value:
    result = c.b.add(Mul(), cast(c.b, sums, factor.type.kind), factor)
    for addend in _given(c, bias):
        result = c.b.add(Add(), result, addend)
    return result


def load_matmul_nbits(c: NodeContext) -> Value:
    """com.microsoft MatMulNBits: weights ``[N, blocks, bytes]`` of 2, 4 or 8 bits, a scale for each block of K."""
    lhs, packed = c.input(0), c.input(1)
    columns, depth = c.attributes.int("N"), c.attributes.int("K")
    bits, block = c.attributes.int("bits", 4), c.attributes.int("block_size")
    c.attributes.int("accuracy_level", 0)  # How much may be lost to speed; nothing is.
    if c.attributes.int("weight_prepacked", 0) or c.optional(4) is not None:
        raise Unsupported("weights packed for one engine, or with their rows in another order (g_idx)")
    if bits not in (2, 4, 8) or min(columns, depth, block) < 1 or block * bits % 8:
        raise BadModel(f"{columns} columns of {depth} numbers of {bits} bits in blocks of {block} make no weights")
    blocks = -(-depth // block)
    if packed.type.kind is not Kind.U8 or packed.type.count != columns * blocks * block * bits // 8:
        raise BadModel(f"{packed.type} are not {columns} columns of {blocks} blocks of {block} numbers of {bits} bits")
    b, kind = c.b, lhs.type.kind
    parts = (columns, blocks)
    steps = b.add(Reshape((columns, blocks * block)), b.add(UnpackBits(bits), packed))
    scale, zero = b.add(Reshape(parts), c.input(2)), c.optional(3)
    offset = None
    if zero is None:
        stored = b.add(Splat(1 << bits - 1, Kind.U8, parts))
    elif zero.type.kind is Kind.U8:
        numbers = b.add(UnpackBits(bits), b.add(Reshape((columns, zero.type.count // columns)), zero))
        stored = b.add(full_slice(numbers.type.shape, 1, 0, blocks), numbers)
    else:
        stored = b.add(Splat(0, Kind.U8, parts))
        offset = b.add(Mul(), b.add(Reshape(parts), zero), scale)
    rows = b.add_unfolded(DequantizeLinear(1, block, kind), steps, scale, stored)
    if offset is not None:
        apart = b.add(Sub(), b.add(Reshape((*parts, block)), rows), b.add(Reshape((*parts, 1)), offset))
        rows = b.add(Reshape(rows.type.shape), apart)
    if blocks * block != depth:
        rows = b.add(full_slice(rows.type.shape, 1, 0, depth), rows)
    result = b.add(MatMul(), lhs, b.add(Transpose((1, 0)), rows))
    for addend in _given(c, 5):
        result = b.add(Add(), result, addend)
    return result


LOADERS: Table = {
    ("DequantizeLinear", 1): load_dequantize_linear,
    ("DynamicQuantizeMatMul", 1): load_dynamic_quantize_matmul,
    ("MatMulIntegerToFloat", 1): load_matmul_integer_to_float,
    ("MatMulNBits", 1): load_matmul_nbits,
    ("QGemm", 1): load_gemm,
    ("QLinearAdd", 1): of_two(Add()),
    ("QLinearAveragePool", 1): load_pool,
    ("QLinearConcat", 1): load_concat,
    ("QLinearGlobalAveragePool", 1): load_global_average_pool,
    ("QLinearLeakyRelu", 1): load_leaky_relu,
    ("QLinearMul", 1): of_two(Mul()),
    ("QLinearReduceMean", 1): load_reduce_mean,
    ("QLinearSigmoid", 1): of_one(Sigmoid()),
    ("QLinearSoftmax", 1): load_softmax,
    ("QLinearWhere", 1): load_where,
    ("QuantizeLinear", 1): load_quantize_linear,
}
