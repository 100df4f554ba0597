"""Operators of ai.onnx.preview.training: steps of optimisers, and derivatives."""

from __future__ import annotations

from enum import Enum

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.gradients import gradients
from glowpy_ir.graph import Value
from glowpy_ir.op import Op
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.optimizers import Adagrad, Adam, Momentum

DOMAIN = "ai.onnx.preview.training"


def _stepped(c: NodeContext, op: Op) -> tuple[Value, ...]:
    """Any number of parameters, then their gradients, then each kind of statistics; the results likewise."""
    rate, step, *rest = c.operands()
    kinds = len(op.parameters) - 2
    count = len(rest) // kinds
    if not count or count * kinds != len(rest):
        raise BadModel(f"{len(rest)} tensors are no {kinds} for each parameter")
    made = []
    for i in range(count):
        own = rest[i::count]
        pace = (c.b.add(Cast(own[0].type.kind), c.b.add(Reshape(()), value)) for value in (rate, step))
        made.append(c.b.add_all(op, *pace, *own))
    return tuple(results[kind] for kind in range(kinds - 1) for results in made)


def load_adagrad(c: NodeContext) -> tuple[Value, ...]:
    a = c.attributes
    op = Adagrad(a.float("decay_factor", 0.0), a.float("epsilon", 1e-6), a.float("norm_coefficient", 0.0))
    return _stepped(c, op)


def load_adam(c: NodeContext) -> tuple[Value, ...]:
    a = c.attributes
    shrinkage, after = a.float("norm_coefficient", 0.0), a.float("norm_coefficient_post", 0.0)
    alpha, beta = a.float("alpha", 0.9), a.float("beta", 0.999)
    return _stepped(c, Adam(alpha, beta, a.float("epsilon", 0.0), shrinkage, after))


class Mode(Enum):
    """Where the gradient is taken: here, or where the velocity leads."""

    STANDARD = "standard"
    NESTEROV = "nesterov"


def load_momentum(c: NodeContext) -> tuple[Value, ...]:
    a = c.attributes
    nesterov = a.choice("mode", Mode) is Mode.NESTEROV
    return _stepped(c, Momentum(a.float("alpha"), a.float("beta"), a.float("norm_coefficient"), nesterov))


def load_gradient(c: NodeContext) -> tuple[Value, ...]:
    """Derivatives of a value by others, where these are what the operands are.

    Behind the operands of the node stand the values that its attributes name (``glowpy.onnx.differentiation``).
    """
    derived, fixed = c.attributes.strings("xs"), c.attributes.strings("zs", ())
    c.attributes.string("y")
    *values, y = c.operands()
    count = len(derived) + len(fixed)
    if len(values) != 2 * count:
        raise BadModel(f"{len(values) - count} operands are given for {count} names")
    named = values[count:]
    for point, value in zip(values, named, strict=False):
        if point.type != value.type:
            raise TypeMismatch(f"{value} is {value.type}, and cannot be {point.type}")
    return gradients(c.b, y, named[: len(derived)], dict(zip(named, values, strict=False)))


LOADERS: Table = {
    ("Adagrad", 1): load_adagrad,
    ("Adam", 1): load_adam,
    ("Gradient", 1): load_gradient,
    ("Momentum", 1): load_momentum,
}
