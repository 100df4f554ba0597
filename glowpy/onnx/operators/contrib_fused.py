"""com.microsoft's products and convolutions with what surrounds them, and its activation functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.contrib_quantized import channels_first, channels_last
from glowpy.onnx.operators.convolution import load_conv
from glowpy.onnx.operators.elementwise import applies
from glowpy.onnx.operators.linear import load_gemm, load_matmul
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import Clip, Elu, Gelu, HardSigmoid, LeakyRelu, Relu, Softplus, Softsign, Swish
from glowpy_ir.ops.elementwise import Add, Mul, scalar
from glowpy_ir.ops.functions import Sigmoid, Tanh
from glowpy_ir.ops.movement import Transpose

DOMAIN = "com.microsoft"


class Activation(Enum):
    """What fused operators apply to their result."""

    CLIP = "Clip"
    ELU = "Elu"
    HARD_SIGMOID = "HardSigmoid"
    LEAKY_RELU = "LeakyRelu"
    RELU = "Relu"
    SIGMOID = "Sigmoid"
    SOFTPLUS = "Softplus"
    SOFTSIGN = "Softsign"
    TANH = "Tanh"


ACTIVATIONS: Mapping[Activation, Callable[..., Op]] = {
    Activation.CLIP: Clip,
    Activation.ELU: Elu,
    Activation.HARD_SIGMOID: HardSigmoid,
    Activation.LEAKY_RELU: LeakyRelu,
    Activation.RELU: Relu,
    Activation.SIGMOID: Sigmoid,
    Activation.SOFTPLUS: Softplus,
    Activation.SOFTSIGN: Softsign,
    Activation.TANH: Tanh,
}


def activated(c: NodeContext, value: Value, *parameters: float) -> Value:
    """What the attribute ``activation`` makes of a value; as it is without one."""
    name = c.attributes.choice("activation", Activation, None)
    if name is None:
        return value
    try:
        op = ACTIVATIONS[name](*parameters)
    except TypeError:
        raise BadModel(f"{name.value} does not take {len(parameters)} parameters") from None
    return c.b.add(op, value)


def load_fused_conv(c: NodeContext) -> Value:
    """com.microsoft FusedConv: a summand (operand 3) and an activation."""
    result = load_conv(replace(c, inputs=c.inputs[:3]))
    addend = c.optional(3)
    result = result if addend is None else c.b.add(Add(), result, addend)
    return activated(c, result, *c.attributes.floats("activation_params", ()))


def load_fused_gemm(c: NodeContext) -> Value:
    """com.microsoft FusedGemm: an activation."""
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    parameters = [value for name in names if (value := c.attributes.float(name, None)) is not None]
    return activated(c, load_gemm(c), *parameters)


def load_fused_matmul(c: NodeContext) -> Value:
    """com.microsoft FusedMatMul: operands may be transposed, and of those the first dimension may stand before K."""
    sides = []
    for index, side in enumerate("AB"):
        value = c.input(index)
        batch, matrix = (c.attributes.flag(f"{name}{side}", False) for name in ("transBatch", "trans"))
        sides.append(_transposed(c, value, batch, matrix))
    product = load_matmul(replace(c, inputs=tuple(sides)))
    alpha = c.attributes.float("alpha", 1.0)
    return product if alpha == 1 else c.b.add(Mul(), product, scalar(c.b, alpha, product))


def _transposed(c: NodeContext, value: Value, batch: bool, matrix: bool) -> Value:
    rank = value.type.rank
    if rank < 2:
        return value
    order = [*range(rank)]
    if batch:  # [M, *batch, K] to [*batch, M, K]
        order = [*order[1:-1], 0, rank - 1]
    if matrix:
        order[-2:] = reversed(order[-2:])
    return c.b.add(Transpose(tuple(order)), value)


def load_nhwc_conv(c: NodeContext) -> Value:
    """com.microsoft NhwcConv: channels are last in the image, the weights and the result."""
    image, weights = (channels_first(c, c.input(index)) for index in range(2))
    return channels_last(c, load_conv(replace(c, inputs=(image, weights, *c.inputs[2:]))))


def load_gelu_of_sum(c: NodeContext, approximate: bool) -> Value:
    """com.microsoft BiasGelu and FastGelu."""
    value = c.input(0)
    bias = c.optional(1)
    return c.b.add(Gelu(approximate), value if bias is None else c.b.add(Add(), value, bias))


def load_quick_gelu(c: NodeContext) -> Value:
    """com.microsoft QuickGelu."""
    return c.b.add(Swish(c.attributes.float("alpha", 1.702)), c.input(0))


def load_bias_add(c: NodeContext) -> Value:
    """com.microsoft BiasAdd: ``input + bias + skip``."""
    return c.b.add(Add(), c.b.add(Add(), c.input(0), c.input(1)), c.input(2))


LOADERS: Table = {
    ("BiasAdd", 1): load_bias_add,
    ("BiasGelu", 1): partial(load_gelu_of_sum, approximate=False),
    ("FastGelu", 1): partial(load_gelu_of_sum, approximate=True),
    ("FusedConv", 1): load_fused_conv,
    ("FusedGemm", 1): load_fused_gemm,
    ("FusedMatMul", 1): load_fused_matmul,
    ("Gelu", 1): applies(Gelu()),
    ("NhwcConv", 1): load_nhwc_conv,
    ("QuickGelu", 1): load_quick_gelu,
}
