"""Operators that ONNX Runtime's exporters put into the standard's own domain, which does not have them."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy_ir.errors import Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.normalization import RmsNormalization

DOMAIN = ""


def load_simplified_layer_normalization(c: NodeContext) -> Value:
    """SimplifiedLayerNormalization: what the standard calls RMSNormalization since version 23."""
    if (code := c.attributes.int("stash_type", 1)) != 1:
        raise Unsupported(f"it asks to be computed in ONNX's type {code}; only 1 (float) is supported, and used")
    axis = positive_axis(c.attributes.int("axis", -1), c.type(0).rank)
    return c.b.add(RmsNormalization(axis, c.attributes.float("epsilon", 1e-5)), *c.operands())


LOADERS: Table = {("SimplifiedLayerNormalization", 1): load_simplified_layer_normalization}
