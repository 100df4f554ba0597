"""Padding: windows that slide over a padded tensor can pad it themselves."""

from __future__ import annotations

from dataclasses import replace

from glowpy.passes.movement import added, lies_in
from glowpy.passes.ranges import range_of
from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.movement import Pad, Slice
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.ops.reduction import bounds
from glowpy_ir.rewrite import Replacement, Rule

Extents = tuple[int, ...]


def pad_in_conv(node: Node, b: Builder) -> Replacement:
    """conv(pad(x)) = conv(x) with more padding, of zeros"""
    match node:
        case Node(op=Conv() as conv, inputs=(Value(producer=Node(op=Pad(value=0) as pad, inputs=(x,))), *others)):
            if not _is_spatial(pad):
                return None
            before, after = added(conv.before, pad.before[2:]), added(conv.after, pad.after[2:])
            return b.add(replace(conv, before=before, after=after), x, *others)
        case _:
            return None


def taps_in_padding(node: Node, b: Builder) -> Replacement:
    """conv(x, w) = conv(x, part of w), where the outer taps lie in the padding in every window

    So it is with a window that is wider than the image: 3 x 3 on 1 x 1, or one that is widely dilated.
    """
    match node:
        case Node(op=Conv() as conv, inputs=(x, weights, *bias)) if x.type.is_static and weights.type.is_static:
            extents, kernel, count = x.type.extents[2:], weights.type.extents[2:], node.output.type.extents[2:]
        case _:
            return None
    windows = zip(extents, kernel, conv.strides, conv.before, conv.after, conv.dilations, count, strict=True)
    ends = [_unseen_taps(*window) for window in windows]
    if ends == [(0, 0)] * len(ends):
        return None
    first, last = zip(*ends, strict=True)
    held = (n - i - j for n, i, j in zip(kernel, first, last, strict=True))
    cut = Slice((0, 0, *first), (*weights.type.extents[:2], *held), (1,) * weights.type.rank)
    before = tuple(n - i * d for n, i, d in zip(conv.before, first, conv.dilations, strict=True))
    after = tuple(n - i * d for n, i, d in zip(conv.after, last, conv.dilations, strict=True))
    return b.add(replace(conv, before=before, after=after), x, b.add(cut, weights), *bias)


def _unseen_taps(
    extent: int, taps: int, stride: int, before: int, after: int, dilation: int, count: int
) -> tuple[int, int]:
    """How many taps at either end meet no element in any window, as far as there is padding to take for them."""

    def meets(tap: int) -> bool:
        offset = tap * dilation - before
        first = max(0, -(offset // stride))  # the first window in which the tap is not before the first element
        return first < count and first * stride + offset < extent

    seen = [tap for tap in range(taps) if meets(tap)]
    if not seen:
        return 0, 0
    return min(seen[0], before // dilation), min(taps - 1 - seen[-1], after // dilation)


def pad_in_max_pool(node: Node, b: Builder) -> Replacement:
    """maxpool(pad(x)) = maxpool(x) with more padding, if what is padded never wins over an element of x"""
    match node:
        case Node(op=MaxPool() as pool, inputs=(Value(producer=Node(op=Pad() as pad, inputs=(x,))),)):
            before, after = added(pool.before, pad.before[2:]), added(pool.after, pad.after[2:])
            if _is_spatial(pad) and _never_wins(pad, x, pool, (*before, *after)):
                return b.add(replace(pool, before=before, after=after), x)
    return None


def _never_wins(pad: Pad, x: Value, pool: MaxPool, padding: Extents) -> bool:
    if pad.value == bounds(x.type.kind)[0]:
        return True
    sees_an_element = set(pool.dilations) == {1} and max(padding) < min(pool.kernel)
    return sees_an_element and pad.value <= range_of(x)[0]


def pad_in_average_pool(node: Node, b: Builder) -> Replacement:
    """averagepool(pad(x)) = averagepool(x) with more padding, of zeros that count"""
    match node:
        case Node(op=AveragePool() as pool, inputs=(Value(producer=Node(op=Pad(value=0) as pad, inputs=(x,))),)):
            none = (0,) * len(pool.kernel)
            pads_nothing = pool.before == none and pool.after == (pool.overhang or none)
            if not _is_spatial(pad) or not (pool.count_include_pad or pads_nothing):
                return None
            before, after = added(pool.before, pad.before[2:]), added(pool.after, pad.after[2:])
            return b.add(replace(pool, before=before, after=after, count_include_pad=True), x)
        case _:
            return None


def slice_of_pad(node: Node, b: Builder) -> Replacement:
    """slice(pad(x)) = slice(x), where it takes nothing of the padding"""
    match node:
        case Node(
            op=Slice(starts=starts, shape=shape, steps=steps),
            inputs=(Value(producer=Node(op=Pad(before=before), inputs=(x,))),),
        ):
            moved = tuple(start - left for start, left in zip(starts, before, strict=True))
            cut = Slice(moved, shape, steps)
            return b.add(cut, x) if lies_in(cut, x.type) else None
        case _:
            return None


def _is_spatial(pad: Pad) -> bool:
    return not any((*pad.before[:2], *pad.after[:2]))


RULES: tuple[Rule, ...] = (pad_in_conv, taps_in_padding, pad_in_max_pool, pad_in_average_pool, slice_of_pad)
