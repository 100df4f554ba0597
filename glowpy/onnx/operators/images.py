"""Operators on pictures in files."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.graph import Value
from glowpy_ir.ops.images import DecodeImage, PixelFormat


def load_image_decoder(c: NodeContext) -> Value:
    return c.b.add(DecodeImage(c.attributes.choice("pixel_format", PixelFormat, PixelFormat.RGB)), c.input(0))


LOADERS: Table = {("ImageDecoder", 20): load_image_decoder}
