"""Normalisation of batches, layers, instances, groups, norms and neighbouring channels."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table, positive_axes, positive_axis
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.movement import Expand, Reshape
from glowpy_ir.ops.normalization import (
    BatchNormalization,
    BatchTraining,
    GroupNormalization,
    InstanceNormalization,
    LayerNormalization,
    LayerStatistics,
    LpNormalization,
    Lrn,
    MeanVarianceNormalization,
    RmsNormalization,
)


def load_batch_normalization(c: NodeContext) -> Value:
    """ONNX BatchNormalization until version 13; the shapes of the operands tell whether it is spatial."""
    c.attributes.float("momentum", 0.9)  # Only training moves the mean and the variance.
    c.attributes.flag("spatial", True)
    if any(c.wants(index) for index in range(1, c.result_count)):
        raise Unsupported("it is in training mode; export the model for inference")
    return c.b.add(BatchNormalization(c.attributes.float("epsilon", 1e-5)), *c.operands())


def load_batch_normalization_14(c: NodeContext) -> tuple[Value, ...]:
    """ONNX BatchNormalization since version 14; in training it takes, and moves on, the batch's own statistics."""
    momentum, epsilon = c.attributes.float("momentum", 0.9), c.attributes.float("epsilon", 1e-5)
    if c.attributes.flag("training_mode", False):
        return c.b.add_all(BatchTraining(momentum, epsilon), *c.operands())
    return (c.b.add(BatchNormalization(epsilon), *c.operands()),)


def load_layer_normalization(c: NodeContext) -> tuple[Value, ...]:
    """ONNX LayerNormalization, and the mean and the inverse deviation if they are wanted."""
    _require_f32_stash(c)
    axis = positive_axis(c.attributes.int("axis", -1), c.type(0).rank)
    epsilon = c.attributes.float("epsilon", 1e-5)
    result = c.b.add(LayerNormalization(axis, epsilon), *c.given())
    if not (c.wants(1) or c.wants(2)):
        return (result,)
    return (result, *c.b.add_all(LayerStatistics(axis, epsilon), c.input(0)))


def load_rms_normalization(c: NodeContext) -> Value:
    """ONNX RMSNormalization."""
    _require_f32_stash(c)
    axis = positive_axis(c.attributes.int("axis", -1), c.type(0).rank)
    return c.b.add(RmsNormalization(axis, c.attributes.float("epsilon", 1e-5)), *c.operands())


def load_instance_normalization(c: NodeContext) -> Value:
    """ONNX InstanceNormalization."""
    return c.b.add(InstanceNormalization(c.attributes.float("epsilon", 1e-5)), *c.operands())


def load_group_normalization_18(c: NodeContext) -> Value:
    """ONNX GroupNormalization until version 20: one scale and one bias for each group."""
    groups = c.attributes.int("num_groups")
    input, scale, bias = c.operands()
    if input.type.rank < 2:
        raise TypeMismatch(f"{input.type} has no channels; it needs dimensions [N, C, ...]")
    if groups < 1:
        raise BadModel(f"it has {groups} groups of channels")
    channels = input.type.shape[1]
    per_channel = []
    for part in (scale, bias):
        repeated = c.b.add(Expand((groups, channels // groups)), c.b.add(Reshape((groups, 1)), part))
        per_channel.append(c.b.add(Reshape((channels,)), repeated))
    return c.b.add(GroupNormalization(groups, c.attributes.float("epsilon", 1e-5)), input, *per_channel)


def load_group_normalization_21(c: NodeContext) -> Value:
    """ONNX GroupNormalization since version 21: one scale and one bias for each channel."""
    _require_f32_stash(c)
    op = GroupNormalization(c.attributes.int("num_groups"), c.attributes.float("epsilon", 1e-5))
    return c.b.add(op, *c.operands())


def load_lp_normalization(c: NodeContext) -> Value:
    """ONNX LpNormalization."""
    axis = positive_axis(c.attributes.int("axis", -1), c.type(0).rank)
    return c.b.add(LpNormalization(axis, c.attributes.int("p", 2)), c.input(0))


def load_mean_variance_normalization(c: NodeContext) -> Value:
    """ONNX MeanVarianceNormalization."""
    axes = positive_axes(c.attributes.ints("axes", (0, 2, 3)), c.type(0).rank)
    return c.b.add(MeanVarianceNormalization(tuple(sorted(axes))), c.input(0))


def load_lrn(c: NodeContext) -> Value:
    """ONNX LRN."""
    usual = Lrn(c.attributes.int("size"))
    alpha, beta = c.attributes.float("alpha", usual.alpha), c.attributes.float("beta", usual.beta)
    return c.b.add(Lrn(usual.size, alpha, beta, c.attributes.float("bias", usual.bias)), c.input(0))


def _require_f32_stash(c: NodeContext) -> None:
    if (code := c.attributes.int("stash_type", 1)) != 1:
        raise Unsupported(f"it asks to be computed in ONNX's type {code}; only 1 (float) is supported, and used")


LOADERS: Table = {
    ("BatchNormalization", 7): load_batch_normalization,
    ("BatchNormalization", 14): load_batch_normalization_14,
    ("GroupNormalization", 18): load_group_normalization_18,
    ("GroupNormalization", 21): load_group_normalization_21,
    ("InstanceNormalization", 6): load_instance_normalization,
    ("LRN", 1): load_lrn,
    ("LayerNormalization", 17): load_layer_normalization,
    ("LpNormalization", 1): load_lp_normalization,
    ("MeanVarianceNormalization", 9): load_mean_variance_normalization,
    ("RMSNormalization", 23): load_rms_normalization,
}
