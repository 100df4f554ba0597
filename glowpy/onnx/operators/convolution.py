"""Convolution and its transpose."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.windows import AutoPad, read_pads, read_windows, spatial_ints
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.conv_transpose import ConvTranspose
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.types import TensorType


def load_conv(c: NodeContext) -> Value:
    return c.b.add(read_conv(c, c.type(1)), *c.operands())


def read_conv(c: NodeContext, weights: TensorType) -> Conv:
    """The convolution of the first operand with ``weights`` that the attributes tell."""
    windows = read_windows(c, _kernel(c, weights))
    return Conv(windows.strides, windows.before, windows.after, windows.dilations, c.attributes.int("group", 1))


def load_conv_transpose(c: NodeContext) -> Value:
    kernel = _kernel(c, c.type(1))
    rank = len(kernel)
    strides, dilations = spatial_ints(c, "strides", rank, 1), spatial_ints(c, "dilations", rank, 1)
    extra = spatial_ints(c, "output_padding", rank, 0)
    before, after = read_pads(c, rank)
    rule = c.attributes.choice("auto_pad", AutoPad, AutoPad.NOTSET)
    wanted = c.attributes.ints("output_shape", None)
    if wanted is not None or rule in (AutoPad.SAME_UPPER, AutoPad.SAME_LOWER):
        if wanted is not None and len(wanted) not in (rank, rank + 2):
            raise BadModel(f"output_shape has {len(wanted)} entries for {rank} spatial dimensions")
        spatial = c.type(0).shape[2:]
        extents = tuple(n * s for n, s in zip(spatial, strides, strict=True)) if wanted is None else wanted[-rank:]
        surplus = tuple(
            _surplus(*entry) for entry in zip(spatial, strides, kernel, dilations, extra, extents, strict=True)
        )
        cuts = tuple(max(n, 0) for n in surplus)
        less, more = tuple(n // 2 for n in cuts), tuple(n - n // 2 for n in cuts)
        before, after = (less, more) if rule is AutoPad.SAME_UPPER else (more, less)
        extra = tuple(x + max(-n, 0) for x, n in zip(extra, surplus, strict=True))
    elif rule is AutoPad.VALID:
        before = after = (0,) * rank
    groups = c.attributes.int("group", 1)
    return c.b.add(ConvTranspose(strides, before, after, dilations, groups, extra), *c.operands())


def _kernel(c: NodeContext, weights: TensorType) -> tuple[int, ...]:
    """The spatial extents of the weights."""
    if c.type(0).rank < 3 or c.type(0).rank != weights.rank:
        raise BadModel(f"[N, C, *spatial] and weights of the same rank are needed, not {c.type(0)} and {weights}")
    kernel = weights.with_shape(*weights.shape[2:]).extents
    given = c.attributes.ints("kernel_shape", kernel)
    if given != kernel:
        raise BadModel(f"kernel_shape {given} is not that of the weights, {kernel}")
    return kernel


def _surplus(dim: Dim, stride: int, kernel: int, dilation: int, extra: int, extent: Dim) -> int:
    """By how much the copies of the weights cover more than ``extent``."""
    surplus = (dim - 1) * stride + (kernel - 1) * dilation + 1 + extra - extent
    if not isinstance(surplus, int):
        raise Unsupported(f"output_shape cannot be met while dimension {dim} has no value; bind it (--dim)")
    return surplus


LOADERS: Table = {
    ("Conv", 1): load_conv,
    ("ConvTranspose", 1): load_conv_transpose,
}
