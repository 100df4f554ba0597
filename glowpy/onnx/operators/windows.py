"""Reads the attributes that say where windows lie: kernel, strides, dilations, padding by number or by rule."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from glowpy.onnx.context import NodeContext
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.windows import Windows


class AutoPad(Enum):
    """How ONNX's auto_pad chooses the padding."""

    NOTSET = "NOTSET"
    SAME_UPPER = "SAME_UPPER"
    SAME_LOWER = "SAME_LOWER"
    VALID = "VALID"


def spatial_ints(c: NodeContext, name: str, rank: int, default: int) -> tuple[int, ...]:
    """An attribute of ``rank`` numbers about the spatial dimensions; BadModel if it has another count."""
    numbers = c.attributes.ints(name, None)
    if numbers is None:
        return (default,) * rank
    if len(numbers) != rank:
        raise BadModel(f"attribute '{name}' has {len(numbers)} entries; {rank} are needed")
    return numbers


def read_pads(c: NodeContext, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding before and after each spatial dimension."""
    pads = spatial_ints(c, "pads", 2 * rank, 0)
    return pads[:rank], pads[rank:]


def read_windows(c: NodeContext, kernel: tuple[int, ...]) -> Windows:
    """The windows of a node whose first operand is ``[N, C, *spatial]``; padding by rule is worked out."""
    spatial = c.type(0).shape[2:]
    rank = len(spatial)
    if len(kernel) != rank:
        raise BadModel(f"a kernel of {len(kernel)} dimensions does not fit {c.type(0)}")
    strides, dilations = spatial_ints(c, "strides", rank, 1), spatial_ints(c, "dilations", rank, 1)
    before, after = read_pads(c, rank)
    windows = Windows(kernel, strides, before, after, dilations)
    rule = c.attributes.choice("auto_pad", AutoPad, AutoPad.NOTSET)
    if rule is AutoPad.NOTSET:
        return windows
    if rule is AutoPad.VALID:
        return replace(windows, before=(0,) * rank, after=(0,) * rank)
    totals = tuple(_same(*entry) for entry in zip(spatial, strides, windows.reach, strict=True))
    less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    if rule is AutoPad.SAME_UPPER:
        return replace(windows, before=less, after=more)
    return replace(windows, before=more, after=less)


def _same(dim: Dim, stride: int, reach: int) -> int:
    """How much padding makes one window for each ``stride`` elements of a dimension."""
    if stride == 1:
        return reach - 1
    if not isinstance(dim, int):
        raise Unsupported(f"padding by auto_pad depends on dimension {dim}, which has no value; bind it (--dim)")
    return int(max((-(-dim // stride) - 1) * stride + reach - dim, 0))


def overhang(c: NodeContext, windows: Windows) -> tuple[int, ...]:
    """How far the last windows lie beyond the padding if ONNX's ceil_mode rounds their number up.

    A window that would start in the padding after the last element is left out.
    """
    spatial = c.type(0).shape[2:]
    rounds_up = c.attributes.flag("ceil_mode", False)
    if not rounds_up or c.attributes.choice("auto_pad", AutoPad, AutoPad.NOTSET) is not AutoPad.NOTSET:
        return (0,) * len(spatial)
    parts = (windows.reach, windows.strides, windows.before, windows.after)
    return tuple(_overhang(*entry) for entry in zip(spatial, *parts, strict=True))


def _overhang(dim: Dim, reach: int, stride: int, before: int, after: int) -> int:
    if stride == 1:
        return 0
    if not isinstance(dim, int):
        raise Unsupported(f"ceil_mode depends on dimension {dim}, which has no value; bind it (--dim)")
    padded = dim + before + after
    last = -(-(padded - reach) // stride)
    if last * stride >= dim + before:
        last -= 1
    return max(last * stride + reach - padded, 0)
