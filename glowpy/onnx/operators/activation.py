"""Activation functions, softmax among them."""

from __future__ import annotations

from enum import Enum

from glowpy.onnx.context import Loader, NodeContext, Table, positive_axis
from glowpy.onnx.operators.elementwise import applies
from glowpy_ir.dims import product
from glowpy_ir.graph import Value
from glowpy_ir.ops.activation import (
    Celu,
    Clip,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Mish,
    PRelu,
    Relu,
    Selu,
    Shrink,
    Softplus,
    Softsign,
    SwiGlu,
    Swish,
    ThresholdedRelu,
)
from glowpy_ir.ops.elementwise import Max, Min
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.softmax import Hardmax, LogSoftmax, Softmax


def with_alpha(activation: type[LeakyRelu | ThresholdedRelu | Elu | Celu | Swish | SwiGlu], default: float) -> Loader:
    """A loader for an activation with the one attribute ``alpha``."""
    return lambda c: c.b.add(activation(c.attributes.float("alpha", default)), *c.operands())


def load_selu(c: NodeContext) -> Value:
    """ONNX Selu."""
    usual = Selu()
    alpha = c.attributes.float("alpha", usual.alpha)
    return c.b.add(Selu(alpha, c.attributes.float("gamma", usual.gamma)), c.input(0))


def load_hard_sigmoid(c: NodeContext) -> Value:
    """ONNX HardSigmoid."""
    return c.b.add(HardSigmoid(c.attributes.float("alpha", 0.2), c.attributes.float("beta", 0.5)), c.input(0))


def load_shrink(c: NodeContext) -> Value:
    """ONNX Shrink."""
    return c.b.add(Shrink(c.attributes.float("lambd", 0.5), c.attributes.float("bias", 0.0)), c.input(0))


class Approximation(Enum):
    """How ONNX Gelu finds the error function."""

    NONE = "none"
    TANH = "tanh"


def load_gelu(c: NodeContext) -> Value:
    """ONNX Gelu."""
    approximation = c.attributes.choice("approximate", Approximation, Approximation.NONE)
    return c.b.add(Gelu(approximation is Approximation.TANH), c.input(0))


def load_clip_6(c: NodeContext) -> Value:
    """ONNX Clip until version 10: the limits are attributes."""
    return _clip(c, c.attributes.float("min", None), c.attributes.float("max", None))


def load_clip_11(c: NodeContext) -> Value:
    """ONNX Clip since version 11: the limits are optional operands."""
    low, high = c.optional(1), c.optional(2)
    if all(limit is None or c.is_known(index) for index, limit in ((1, low), (2, high))):
        return _clip(c, *(None if c.optional(index) is None else c.known(index).item() for index in (1, 2)))
    result = c.input(0)
    for op, limit in ((Max(), low), (Min(), high)):
        if limit is not None:
            result = c.b.add(op, result, c.b.add(Reshape(()), limit))
    return result


def _clip(c: NodeContext, low: float | None, high: float | None) -> Value:
    return c.input(0) if low is None and high is None else c.b.add(Clip(low, high), c.input(0))


def along_axis(op: type[Softmax | LogSoftmax | Hardmax]) -> Loader:
    """A loader for ``op`` since version 13: along one axis."""
    return lambda c: c.b.add(op(positive_axis(c.attributes.int("axis", -1), c.type(0).rank)), c.input(0))


def along_rest(op: type[Softmax | LogSoftmax | Hardmax]) -> Loader:
    """A loader for ``op`` until version 12: along an axis and all later ones, as if they were one."""

    def load(c: NodeContext) -> Value:
        input = c.input(0)
        shape = input.type.shape
        axis = positive_axis(c.attributes.int("axis", 1), len(shape))
        if all(dim == 1 for dim in shape[axis + 1 :]):
            return c.b.add(op(axis), input)
        matrix = c.b.add(Reshape((product(shape[:axis]), product(shape[axis:]))), input)
        return c.b.add(Reshape(shape), c.b.add(op(1), matrix))

    return load


LOADERS: Table = {
    ("Celu", 12): with_alpha(Celu, 1.0),
    ("Clip", 6): load_clip_6,
    ("Clip", 11): load_clip_11,
    ("Elu", 6): with_alpha(Elu, 1.0),
    ("Gelu", 20): load_gelu,
    ("HardSigmoid", 6): load_hard_sigmoid,
    ("HardSwish", 14): applies(HardSwish()),
    ("Hardmax", 1): along_rest(Hardmax),
    ("Hardmax", 13): along_axis(Hardmax),
    ("LeakyRelu", 6): with_alpha(LeakyRelu, 0.01),
    ("LogSoftmax", 1): along_rest(LogSoftmax),
    ("LogSoftmax", 13): along_axis(LogSoftmax),
    ("Mish", 18): applies(Mish()),
    ("PRelu", 7): applies(PRelu()),
    ("Relu", 6): applies(Relu()),
    ("Selu", 6): load_selu,
    ("Shrink", 9): load_shrink,
    ("Softmax", 1): along_rest(Softmax),
    ("Softmax", 13): along_axis(Softmax),
    ("Softplus", 1): applies(Softplus()),
    ("Softsign", 1): applies(Softsign()),
    ("SwiGLU", 28): with_alpha(SwiGlu, 1.0),
    ("Swish", 24): with_alpha(Swish, 1.0),
    ("ThresholdedRelu", 10): with_alpha(ThresholdedRelu, 1.0),
}
