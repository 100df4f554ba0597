"""Pooling under windows, and over whole images."""

from __future__ import annotations

from dataclasses import replace

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.windows import overhang, read_pads, read_windows, spatial_ints
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.movement import Pad
from glowpy_ir.ops.pooling import (
    ArgMaxPool,
    AveragePool,
    GlobalAveragePool,
    GlobalLpPool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    MaxUnpool,
)
from glowpy_ir.windows import Windows


def _windows(c: NodeContext) -> tuple[Windows, tuple[int, ...]]:
    """The windows, reaching as far as the last one does; and how much of that lies beyond the padding."""
    if c.type(0).rank < 3:
        raise BadModel(f"{c.type(0)} has no spatial dimensions [N, C, *spatial]")
    windows = read_windows(c, c.attributes.ints("kernel_shape"))
    beyond = overhang(c, windows)
    return replace(windows, after=tuple(a + o for a, o in zip(windows.after, beyond, strict=True))), beyond


def load_max_pool(c: NodeContext) -> tuple[Value, ...]:
    w, _ = _windows(c)
    fields = (w.kernel, w.strides, w.before, w.after, w.dilations)
    column_major = c.attributes.flag("storage_order", False)
    largest = c.b.add(MaxPool(*fields), c.input(0))
    if not c.wants(1):
        return (largest,)
    return largest, c.b.add(ArgMaxPool(*fields, column_major), c.input(0))


def load_average_pool(c: NodeContext) -> Value:
    w, beyond = _windows(c)
    counts_padding = c.attributes.flag("count_include_pad", False)
    op = AveragePool(w.kernel, w.strides, w.before, w.after, w.dilations, counts_padding, beyond if any(beyond) else ())
    return c.b.add(op, c.input(0))


def load_lp_pool_1(c: NodeContext) -> Value:
    return _lp_pool(c, _whole_p(c))


def load_lp_pool_2(c: NodeContext) -> Value:
    return _lp_pool(c, c.attributes.int("p", 2))


def _lp_pool(c: NodeContext, p: int) -> Value:
    w, _ = _windows(c)
    return c.b.add(LpPool(w.kernel, w.strides, w.before, w.after, w.dilations, p), c.input(0))


def load_global_lp_pool_1(c: NodeContext) -> Value:
    return c.b.add(GlobalLpPool(_whole_p(c)), c.input(0))


def load_global_lp_pool_2(c: NodeContext) -> Value:
    return c.b.add(GlobalLpPool(c.attributes.int("p", 2)), c.input(0))


def _whole_p(c: NodeContext) -> int:
    p = c.attributes.float("p", 2.0)
    if not p.is_integer():
        raise Unsupported(f"attribute 'p' is {p}; only whole numbers are supported")
    return int(p)


def load_max_unpool(c: NodeContext) -> Value:
    """Puts maxima back to where they were; a wanted shape (operand 2) adds zeros behind."""
    kernel = c.attributes.ints("kernel_shape")
    rank = c.type(0).rank - 2
    if rank < 1 or len(kernel) != rank:
        raise BadModel(f"a kernel of {len(kernel)} dimensions does not fit {c.type(0)}")
    batch, channels, *spatial = c.type(0).extents
    (before, after), strides = read_pads(c, rank), spatial_ints(c, "strides", rank, 1)
    parts = zip(spatial, strides, kernel, before, after, strict=True)
    shape = (batch, channels, *((n - 1) * s + k - b - a for n, s, k, b, a in parts))
    wanted = shape if c.optional(2) is None else c.known_ints(2)
    if len(wanted) != len(shape) or any(w < n for w, n in zip(wanted, shape, strict=True)):
        raise BadModel(f"output_shape {list(wanted)} does not hold {list(shape)}")
    result = c.b.add(MaxUnpool(shape), c.input(0), c.input(1))
    missing = tuple(w - n for w, n in zip(wanted, shape, strict=True))
    return c.b.add(Pad((0,) * len(shape), missing), result) if any(missing) else result


LOADERS: Table = {
    ("MaxPool", 1): load_max_pool,
    ("MaxUnpool", 9): load_max_unpool,
    ("AveragePool", 1): load_average_pool,
    ("LpPool", 1): load_lp_pool_1,
    ("LpPool", 2): load_lp_pool_2,
    ("GlobalAveragePool", 1): lambda c: c.b.add(GlobalAveragePool(), c.input(0)),
    ("GlobalMaxPool", 1): lambda c: c.b.add(GlobalMaxPool(), c.input(0)),
    ("GlobalLpPool", 1): load_global_lp_pool_1,
    ("GlobalLpPool", 2): load_global_lp_pool_2,
}
