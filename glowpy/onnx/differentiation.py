"""The Gradient operator of ai.onnx.preview.training, which names values that are no operands of its."""

from __future__ import annotations

from onnx import NodeProto

from glowpy.onnx.functions import domain_of

DOMAIN = "ai.onnx.preview.training"


def with_named_values(node: NodeProto) -> NodeProto:
    """The node itself; or a Gradient node with operands for what its attributes name: ``xs``, ``zs`` and ``y``."""
    if node.op_type != "Gradient" or domain_of(node.domain) != DOMAIN:
        return node
    whole = NodeProto()
    whole.CopyFrom(node)
    attributes = {attribute.name: attribute for attribute in node.attribute}
    for name in ("xs", "zs"):
        if name in attributes:
            whole.input.extend(text.decode(errors="replace") for text in attributes[name].strings)
    if "y" in attributes:
        whole.input.append(attributes["y"].s.decode(errors="replace"))
    return whole
