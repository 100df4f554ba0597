"""Operators as they were in the first six operator sets.

Then an operator said in ``consumed_inputs`` which operands it may overwrite, which is of no interest here; broadcasting
had to be asked for; and much was an attribute that became an operand later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from onnx import TensorProto

from glowpy.onnx.context import Loader, NodeContext, Table, positive_axis
from glowpy.onnx.operators import activation, elementwise, normalization
from glowpy.onnx.operators.linear import load_gemm
from glowpy.onnx.operators.movement import load_dropout_7, reshaped, split_into
from glowpy.onnx.operators.resampling import resize_by_scales
from glowpy.onnx.operators.slicing import pad_by
from glowpy.onnx.scope import Named
from glowpy.onnx.weights import KINDS
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.activation import PRelu, Selu
from glowpy_ir.ops.arrangement import Tile
from glowpy_ir.ops.movement import Concat, Reshape


def consuming(loader: Loader) -> Loader:
    """``loader`` for a version that may name operands to overwrite."""

    def load(c: NodeContext) -> Named | tuple[Named, ...]:
        c.attributes.ints("consumed_inputs", ())
        return loader(c)

    return load


def broadcasting(loader: Loader) -> Loader:
    """``loader`` for two operands, of which the second is repeated if ``broadcast`` says so.

    Its dimensions are those of the first from ``axis`` on, or the last ones.
    """

    def load(c: NodeContext) -> Named | tuple[Named, ...]:
        lhs, rhs = c.input(0), c.input(1)
        axis = c.attributes.int("axis", None)
        if not c.attributes.flag("broadcast", False):
            if lhs.type.shape != rhs.type.shape:
                raise TypeMismatch(f"{lhs.type} and {rhs.type} differ, and broadcast is not asked for")
        elif axis is not None and rhs.type.rank:
            behind = lhs.type.rank - positive_axis(axis, lhs.type.rank) - rhs.type.rank
            if behind < 0:
                raise TypeMismatch(f"{rhs.type} has more dimensions than {lhs.type} from axis {axis} on")
            rhs = c.b.add(Reshape((*rhs.type.shape, *(1,) * behind)), rhs)
        return loader(replace(c, inputs=(lhs, rhs)))

    return consuming(load)


def load_batch_normalization(c: NodeContext) -> Value:
    """Several results are for training; who only wants the first wants the given mean and variance to be used."""
    c.attributes.flag("is_test", False)
    return normalization.load_batch_normalization(c)


def load_cast(c: NodeContext) -> Value:
    """The kind is given by name."""
    name = c.attributes.string("to")
    kind = next((kind for code, kind in KINDS.items() if TensorProto.DataType.Name(code) == name.upper()), None)
    if kind is None:
        raise Unsupported(f"attribute 'to' is {name!r}, which is no known element type")
    return elementwise.cast_to(c, kind)


def load_concat(c: NodeContext) -> Value:
    """Without an axis, channels are concatenated."""
    return c.b.add(Concat(positive_axis(c.attributes.int("axis", 1), c.type(0).rank)), *c.operands())


def load_dropout(c: NodeContext) -> tuple[Value, ...]:
    """Only as a copy."""
    if not c.attributes.flag("is_test", False):
        raise Unsupported("Dropout in training mode is not supported; export the model for inference (is_test = 1)")
    return load_dropout_7(c)


def load_gemm_with_broadcast(c: NodeContext) -> Value:
    """The addend is repeated only if asked for."""
    if not c.attributes.flag("broadcast", False) and c.type(2).rank != 2:
        raise TypeMismatch(f"the addend is {c.type(2)}, no matrix, and broadcast is not asked for")
    return load_gemm(c)


def load_pad(c: NodeContext) -> Value:
    """The pads have another name."""
    return pad_by(c, c.attributes.ints("paddings"))


def load_prelu(c: NodeContext) -> Value:
    """One slope for each channel."""
    input, slope = c.input(0), c.input(1)
    if slope.type.rank == 1 and input.type.rank > 1:
        slope = c.b.add(Reshape((*slope.type.shape, *(1,) * (input.type.rank - 2))), slope)
    return c.b.add(PRelu(), input, slope)


def load_reshape(c: NodeContext) -> Value:
    """The shape is an attribute."""
    return reshaped(c, c.attributes.ints("shape"))


def load_selu(c: NodeContext) -> Value:
    """The usual numbers had fewer digits."""
    return c.b.add(Selu(c.attributes.float("alpha", 1.6732), c.attributes.float("gamma", 1.0507)), c.input(0))


def load_split(c: NodeContext) -> tuple[Value, ...]:
    """The sizes are an attribute, or an operand of the first one's kind."""
    sizes = c.attributes.ints("split", None)
    if c.optional(1) is not None:
        sizes = tuple(int(size) for size in c.known(1).reshape(-1))
    return split_into(c, sizes, c.result_count)


def load_tile(c: NodeContext) -> Value:
    """Repeats along one axis: how often (operand 1), and which (operand 2)."""
    times, axis = (int(c.known(index).item()) for index in (1, 2))
    if times < 0:
        raise BadModel(f"cannot repeat {times} times")
    repeats = [1] * c.type(0).rank
    repeats[positive_axis(axis, c.type(0).rank)] = times
    return c.b.add(Tile(tuple(repeats)), c.input(0))


class UpsampleMode(Enum):
    """What is made of the neighbours of a place."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"


def load_upsample(c: NodeContext) -> Value:
    """A scale for rows and one for columns of ``[N, C, H, W]``."""
    if c.type(0).rank != 4:
        raise TypeMismatch(f"{c.type(0)} is no image [N, C, H, W]")
    scales = (1.0, 1.0, c.attributes.float("height_scale"), c.attributes.float("width_scale"))
    mode = c.attributes.choice("mode", UpsampleMode, UpsampleMode.NEAREST)
    return resize_by_scales(c, scales, mode is UpsampleMode.NEAREST)


CONSUMING: Mapping[str, Table] = {
    name: family.LOADERS
    for family, names in (
        (activation, ("Clip", "Elu", "HardSigmoid", "LeakyRelu", "Relu")),
        (elementwise, ("Abs", "Ceil", "Exp", "Floor", "Log", "Max", "Mean", "Min", "Neg", "Reciprocal", "Sigmoid")),
        (elementwise, ("Sqrt", "Sum", "Tanh")),
        (normalization, ("InstanceNormalization",)),
    )
    for name in names
}
"""Operators whose first version is the sixth but for the attribute, and where that one is."""

BROADCASTING = ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor")
"""Operators of two operands that broadcast by themselves since version 7."""

LOADERS: Table = {
    **{(name, 1): consuming(table[name, 6]) for name, table in CONSUMING.items()},
    **{(name, 1): broadcasting(elementwise.LOADERS[name, 7]) for name in BROADCASTING},
    ("BatchNormalization", 1): consuming(load_batch_normalization),
    ("Cast", 1): load_cast,
    ("Concat", 1): load_concat,
    ("Dropout", 1): consuming(load_dropout),
    ("Gemm", 1): load_gemm_with_broadcast,
    ("PRelu", 1): consuming(load_prelu),
    ("Pad", 1): load_pad,
    ("Reshape", 1): consuming(load_reshape),
    ("Selu", 1): consuming(load_selu),
    ("Split", 1): load_split,
    ("Tile", 1): load_tile,
    ("Upsample", 1): load_upsample,
}
