"""Signals, tensors of [N, C, W], become images of height one, and stay blocked from one convolution to the next."""

from __future__ import annotations

from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.ops.elementwise import Elementwise
from glowpy_ir.ops.movement import Reshape


def image_of(value: Value) -> Value | None:
    """The image of height one that a signal is, if it is made of one."""
    match value:
        case Value(type=type, producer=Node(op=Reshape(), inputs=(image,))) if type.rank == 3:
            batch, channels, width = type.shape
            return image if image.type.shape == (batch, channels, 1, width) else None
    return None


def elementwise_of_signal(node: Node, b: Builder) -> Value | None:
    """op(signal of x, …) = signal of op(x, …)"""
    if not isinstance(node.op, Elementwise) or node.output.type.rank != 3:
        return None
    type = node.output.type
    if not any(image_of(value) is not None and value.type.shape == type.shape for value in node.inputs):
        return None
    images = [image_of(value) or _as_image(value, b) for value in node.inputs]
    return b.add(Reshape(type.shape), b.add(node.op, *images))


def _as_image(value: Value, b: Builder) -> Value:
    *rest, width = value.type.shape or (1,)
    return b.add(Reshape((*rest, 1, width)), value) if rest else value


def image_of_signal(node: Node, b: Builder) -> Value | None:
    """image of (signal of x) = x"""
    match node:
        case Node(op=Reshape(), inputs=(signal,)):
            image = image_of(signal)
            return image if image is not None and image.type == node.output.type else None
    return None
