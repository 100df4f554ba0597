"""Sampling at computed places, pooling of regions, and convolutions whose taps move."""

from __future__ import annotations

from enum import Enum
from math import prod

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.windows import read_pads, read_windows, spatial_ints
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Reshape, Transpose
from glowpy_ir.ops.roi import MaxRoiPool, RoiAlign
from glowpy_ir.ops.sampling import Interpolation, Outside
from glowpy_ir.ops.vision import Col2Im, DeformConv, GridSample
from glowpy_ir.types import Array

MOST_PLACES = 1 << 26
"""A grid of more is refused: its places are constants."""


class Mode16(Enum):
    """How version 16 called the interpolations, which were for images."""

    NEAREST = "nearest"
    LINEAR = "bilinear"
    CUBIC = "bicubic"


class Padding(Enum):
    """What ONNX makes of places outside."""

    ZEROS = "zeros"
    BORDER = "border"
    REFLECTION = "reflection"


def load_grid_sample_16(c: NodeContext) -> Value:
    return _grid_sample(c, Interpolation[c.attributes.choice("mode", Mode16, Mode16.LINEAR).name])


def load_grid_sample_20(c: NodeContext) -> Value:
    return _grid_sample(c, c.attributes.choice("mode", Interpolation, Interpolation.LINEAR))


def _grid_sample(c: NodeContext, interpolation: Interpolation) -> Value:
    aligned = c.attributes.flag("align_corners", False)
    outside = {
        Padding.ZEROS: Outside.ZERO,
        Padding.BORDER: Outside.EDGE,
        Padding.REFLECTION: Outside.REFLECT if aligned else Outside.SYMMETRIC,
    }[c.attributes.choice("padding_mode", Padding, Padding.ZEROS)]
    return c.b.add(GridSample(interpolation, outside, aligned), *c.operands())


class BinMode(Enum):
    """What is made of the samples of a bin."""

    AVG = "avg"
    MAX = "max"


class Origin(Enum):
    """Where the center of the first element lies."""

    HALF_PIXEL = "half_pixel"
    OUTPUT_HALF_PIXEL = "output_half_pixel"


def load_roi_align_10(c: NodeContext) -> Value:
    return _roi_align(c, False)


def load_roi_align_16(c: NodeContext) -> Value:
    origin = c.attributes.choice("coordinate_transformation_mode", Origin, Origin.HALF_PIXEL)
    return _roi_align(c, origin is Origin.HALF_PIXEL)


def _roi_align(c: NodeContext, shift: bool) -> Value:
    pooled = c.attributes.int("output_height", 1), c.attributes.int("output_width", 1)
    ratio, scale = c.attributes.int("sampling_ratio", 0), c.attributes.float("spatial_scale", 1.0)
    largest = c.attributes.choice("mode", BinMode, BinMode.AVG) is BinMode.MAX
    return c.b.add(RoiAlign(pooled, ratio, scale, shift, largest), *c.operands())


def load_max_roi_pool(c: NodeContext) -> Value:
    pooled, scale = c.attributes.ints("pooled_shape"), c.attributes.float("spatial_scale", 1.0)
    if len(pooled) != 2:
        raise BadModel(f"attribute 'pooled_shape' has {len(pooled)} entries; 2 are needed")
    return c.b.add(MaxRoiPool((pooled[0], pooled[1]), scale), *c.operands())


def load_deform_conv(c: NodeContext) -> Value:
    """Factors without a bias (operand 3) get one of zeros."""
    weights = c.type(1).extents
    kernel = c.attributes.ints("kernel_shape", weights[2:])
    if kernel != weights[2:]:
        raise BadModel(f"attribute 'kernel_shape' is {list(kernel)}, but the weights are {c.type(1)}")
    w = read_windows(c, kernel)
    groups, parts = c.attributes.int("group", 1), c.attributes.int("offset_group", 1)
    operands = [c.input(0), c.input(1), c.input(2)]
    bias, mask = c.optional(3), c.optional(4)
    if bias is not None or mask is not None:
        operands.append(bias or c.constant(np.zeros(weights[0], c.type(0).kind.dtype)))
    if mask is not None:
        operands.append(mask)
    return c.b.add(DeformConv(w.strides, w.before, w.after, w.dilations, groups, parts), *operands)


def load_affine_grid(c: NodeContext) -> Value:
    """Places that evenly cover an image of the size of the second operand, moved by the matrices ``theta``.

    The standard's own function would divide by zero along a dimension of one element (where the place is -1, as it is
    along the depth there), and drop a batch of one.
    """
    aligned = c.attributes.flag("align_corners", False)
    theta, size = c.type(0), c.known_ints(1)
    batch, _, *image = size if len(size) in (4, 5) else (0, 0)
    rank = len(image)
    if not image or min(size) < 1 or theta.shape != (batch, rank, rank + 1):
        raise TypeMismatch(f"{theta} and the size {list(size)} do not fit: [N, 2, 3] for [N, C, H, W], or with depth")
    if prod(image) > MOST_PLACES:
        raise Unsupported(f"a grid of {image} is too large")
    lines = [_line(extent, aligned) for extent in image]
    places = np.stack(np.broadcast_arrays(*reversed(np.ix_(*lines)), 1.0), -1).reshape(-1, rank + 1)
    base = c.constant(places.astype(theta.kind.dtype))
    moved = c.b.add(MatMul(), base, c.b.add(Transpose((0, 2, 1)), c.input(0)))
    return c.b.add(Reshape((batch, *image, rank)), moved)


def _line(extent: int, aligned: bool) -> Array:
    """The centers of the elements between -1 and 1, or the first and the last at these ends."""
    number = np.arange(extent, dtype=np.float64)
    return 2 * number / max(extent - 1, 1) - 1 if aligned else (2 * number + 1) / extent - 1


def load_col2im(c: NodeContext) -> Value:
    image, kernel = c.known_ints(1), c.known_ints(2)
    rank = len(image)
    if len(kernel) != rank or min((*image, *kernel), default=1) < 1:
        raise TypeMismatch(f"images {list(image)} have no windows {list(kernel)}")
    strides, dilations = spatial_ints(c, "strides", rank, 1), spatial_ints(c, "dilations", rank, 1)
    before, after = read_pads(c, rank)
    return c.b.add(Col2Im(image, kernel, strides, before, after, dilations), c.input(0))


LOADERS: Table = {
    ("AffineGrid", 20): load_affine_grid,
    ("GridSample", 16): load_grid_sample_16,
    ("GridSample", 20): load_grid_sample_20,
    ("RoiAlign", 10): load_roi_align_10,
    ("RoiAlign", 16): load_roi_align_16,
    ("MaxRoiPool", 1): load_max_roi_pool,
    ("DeformConv", 19): load_deform_conv,
    ("Col2Im", 18): load_col2im,
}
