"""Operators that cut off, or add, elements at the ends of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from glowpy.onnx.context import NodeContext, Table, positive_axes
from glowpy_ir.dims import Dim, minimum
from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.arrangement import Border, PadWithBorder
from glowpy_ir.ops.movement import Concat, Expand, Pad, Slice
from glowpy_ir.types import Kind

FAR = (1 << 31) - 1
"""A start or an end at or beyond this means: as far as the dimension goes."""

MOST_PADDING = 1 << 31


def load_slice_1(c: NodeContext) -> Value:
    starts = c.attributes.ints("starts")
    return _slice(c, starts, c.attributes.ints("ends"), c.attributes.ints("axes", None), (1,) * len(starts))


def load_slice_10(c: NodeContext) -> Value:
    starts, ends = c.dims(1), c.dims(2)
    axes = None if c.optional(3) is None else c.known_ints(3)
    steps = (1,) * len(starts) if c.optional(4) is None else c.known_ints(4)
    return _slice(c, starts, ends, axes, steps)


def _slice(
    c: NodeContext, starts: Sequence[Dim], ends: Sequence[Dim], axes: tuple[int, ...] | None, steps: Sequence[int]
) -> Value:
    shape = list(c.type(0).shape)
    offsets: list[Dim] = [0] * len(shape)
    strides = [1] * len(shape)
    axes = positive_axes(range(len(starts)) if axes is None else axes, len(shape))
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise TypeMismatch(f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes and {len(steps)} steps differ")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            raise TypeMismatch("the step of a slice is 0")
        offsets[axis], shape[axis] = _cut(shape[axis], start, end, step)
        strides[axis] = step
    if tuple(shape) == c.type(0).shape and min(strides, default=1) == 1:
        return c.input(0)
    return c.b.add(Slice(tuple(offsets), tuple(shape), tuple(strides)), c.input(0))


def _cut(dim: Dim, start: Dim, end: Dim, step: int) -> tuple[Dim, Dim]:
    """Where a slice starts in a dimension, and how many elements it has."""
    if isinstance(dim, int) and isinstance(start, int) and isinstance(end, int):
        start, end = (n + dim if n < 0 else n for n in (start, end))
        if step > 0:
            start, end = max(0, min(dim, start)), max(0, min(dim, end))
        else:  # a start before the first element is that element, where NumPy would take none
            start, end = min(dim - 1, max(0, start)), min(dim - 1, max(-1, end))
        extent = max(0, -((start - end) // step))
        return (start if extent else 0), extent
    if step > 0:
        first, last = _place(dim, start), _place(dim, end)
        return first, last - first if step == 1 else (last - first + (step - 1)) // step
    if step == -1 and start in (-1, FAR) and isinstance(end, int) and end <= -FAR:
        return dim - 1, dim
    raise Unsupported(f"a slice with step {step} of an open dimension {dim} is not supported; bind the dimension")


def _place(dim: Dim, place: Dim) -> Dim:
    """A place in a dimension of which one or the other has no value yet; an open place is taken to be inside."""
    if not isinstance(place, int):
        return place
    if place >= FAR:
        return dim
    if place < 0:
        return 0 if place <= -FAR else dim + place
    return place if place <= 1 else minimum(dim, place)


class PadMode(Enum):
    """What ONNX calls the ways to fill a border."""

    CONSTANT = "constant"
    REFLECT = "reflect"
    EDGE = "edge"
    WRAP = "wrap"


def load_pad_2(c: NodeContext) -> Value:
    return pad_by(c, c.attributes.ints("pads"))


def pad_by(c: NodeContext, pads: Sequence[int]) -> Value:
    """Pads for all dimensions, and a value that is an attribute."""
    value = c.attributes.float("value", 0.0)
    trimmed, before, after, mode = _prepare(c, pads, range(c.type(0).rank))
    if mode is not PadMode.CONSTANT:
        return c.b.add(PadWithBorder(before, after, Border(mode.value)), trimmed)
    return c.b.add(Pad(before, after, value if c.type(0).kind.is_float else int(value)), trimmed)


def load_pad_11(c: NodeContext) -> Value:
    rank = c.type(0).rank
    axes = range(rank) if c.optional(3) is None else positive_axes(c.known_ints(3), rank)
    trimmed, before, after, mode = _prepare(c, c.known_ints(1), axes)
    if mode is not PadMode.CONSTANT:
        return c.b.add(PadWithBorder(before, after, Border(mode.value)), trimmed)
    value = c.optional(2)
    if value is None:
        return c.b.add(Pad(before, after, 0), trimmed)
    if value.type.kind is not trimmed.type.kind or value.type.shape not in ((), (1,)):
        raise TypeMismatch(f"the value to pad {trimmed.type} with cannot be {value.type}")
    if c.is_known(2) and value.type.kind is not Kind.STRING:
        return c.b.add(Pad(before, after, c.known(2).item()), trimmed)
    return _surround(c, trimmed, before, after, value)


def _prepare(
    c: NodeContext, pads: Sequence[int], axes: Sequence[int]
) -> tuple[Value, tuple[int, ...], tuple[int, ...], PadMode]:
    """The operand without what negative pads cut off, the pads for each dimension, and the mode."""
    input, shape = c.input(0), c.type(0).shape
    mode = c.attributes.choice("mode", PadMode, PadMode.CONSTANT)
    if len(pads) != 2 * len(axes) or max(map(abs, pads), default=0) > MOST_PADDING:
        raise TypeMismatch(f"pads {list(pads)} do not fit {len(axes)} dimensions")
    before, after = [0] * len(shape), [0] * len(shape)
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    if min((*before, *after), default=0) < 0:
        starts = tuple(max(0, -n) for n in before)
        kept = tuple(dim + min(0, b) + min(0, a) for dim, b, a in zip(shape, before, after, strict=True))
        if any(isinstance(dim, int) and dim < 0 for dim in kept):
            raise TypeMismatch(f"pads {list(pads)} cut off more than {c.type(0)} has")
        input = c.b.add(Slice(starts, kept, (1,) * len(shape)), input)
    return input, tuple(max(0, n) for n in before), tuple(max(0, n) for n in after), mode


def _surround(c: NodeContext, input: Value, before: tuple[int, ...], after: tuple[int, ...], value: Value) -> Value:
    """A border of a value that is not known now."""
    for axis, pads in enumerate(zip(before, after, strict=True)):
        shape = input.type.shape
        ends = [c.b.add(Expand((*shape[:axis], n, *shape[axis + 1 :])), value) if n else None for n in pads]
        parts = [part for part in (ends[0], input, ends[1]) if part is not None]
        input = c.b.add(Concat(axis), *parts) if len(parts) > 1 else input
    return input


LOADERS: Table = {
    ("Slice", 1): load_slice_1,
    ("Slice", 10): load_slice_10,
    ("Pad", 2): load_pad_2,
    ("Pad", 11): load_pad_11,
}
