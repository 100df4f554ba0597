"""Regions of images, pooled to grids of one size.

Floats of 16 bits are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from glowpy_backends.cpu.arithmetic import ceil, floor, maximum, same
from glowpy_backends.cpu.builder import F32, I64, Builder, Index, Ssa, index, zero
from glowpy_backends.cpu.conversion import REGISTERS
from glowpy_backends.cpu.halves import narrow
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.sampling import Tap, load_element, moved, near_zero, together_of
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.roi import MOST_SAMPLES_PER_ELEMENT, MaxRoiPool, RoiAlign

_CHANNELS = 8
"""Channels that are worked on together, at most."""


def roi_align(op: RoiAlign, result: View, image: View, regions: View, batch: View, target: Target) -> Kernel:
    """``op`` on images ``[N, C, H, W]``; units are regions, for a few channels."""
    channels, spatial, type = image.shape[1], image.shape[2:], REGISTERS[image.kind]
    together = together_of(max(channels, 1), _CHANNELS)
    blocks = channels // together

    def unit(b: Builder, call: Call) -> None:
        into, source, corners, numbers = call.operands
        region, channel = b.div(call.unit, blocks), b.mul(b.rem(call.unit, blocks), together)
        number = b.load(b.gep(numbers, b.mul(region, batch.strides[0]), I64), I64)
        source = _plane(b, image, source, number, channel)
        into = moved(b, result, into, (region, channel))
        row = moved(b, regions, corners, (region,))
        left, top, right, bottom = (_corner(b, op, regions, row, i) for i in range(4))
        rows = _Bins.of(b, op, top, bottom, op.pooled[0], spatial[0])
        columns = _Bins.of(b, op, left, right, op.pooled[1], spatial[1])
        some = b.op("and", b.less(0, rows.count), b.less(0, columns.count))

        def bin(i: Index, j: Index) -> None:
            def line(y: Index, totals: list[Ssa]) -> list[Ssa]:
                along = _neighbours(b, rows.place(b, i, y), spatial[0], image.strides[2])

                def point(x: Index, totals: list[Ssa]) -> list[Ssa]:
                    across = _neighbours(b, columns.place(b, j, x), spatial[1], image.strides[3])
                    taps = [y_tap.times(b, x_tap) for y_tap, x_tap in product(along, across)]
                    return [
                        _add_sample(b, op, image, b.gep(source, c * image.strides[1], image.element), taps, total)
                        for c, total in enumerate(totals)
                    ]

                return b.loop(0, columns.count, 1, point, totals)

            nothing = [same(-math.inf if op.largest else 0, left)] * together
            samples = b.branch(some, lambda: b.loop(0, rows.count, 1, line, nothing), lambda: [zero(type)] * together)
            for c, total in enumerate(samples):
                if not op.largest:
                    total = b.op("fdiv", total, b.cast("sitofp", b.intrinsic("smax", area, index(1)), type))
                pointer = moved(b, result, into, (0, c, i, j))
                b.store(narrow(b, total, result.element), pointer)

        area = index(b.mul(rows.count, columns.count))
        b.loop(0, op.pooled[0], 1, lambda i, _: b.loop(0, op.pooled[1], 1, lambda j, _: bin(i, j)))

    units = regions.shape[0] * blocks
    return define_kernel("roi_align", target, 4, units, 0, unit)


@dataclass(frozen=True)
class _Bins:
    """The bins of a region along one dimension: where the first one starts, how wide each is, how many samples."""

    start: Ssa
    step: Ssa
    count: Index

    @classmethod
    def of(cls, b: Builder, op: RoiAlign, start: Ssa, end: Ssa, bins: int, extent: int) -> _Bins:
        size = b.op("fsub", end, start)
        if not op.shift:
            size = b.intrinsic("maxnum", size, same(1, size))
        step = b.op("fdiv", size, same(bins, size))
        if op.ratio:
            return cls(start, step, op.ratio)
        most = same(MOST_SAMPLES_PER_ELEMENT * extent, step)
        count = b.intrinsic("minnum", b.intrinsic("maxnum", ceil(b, step), same(0, step)), most)
        return cls(start, step, b.cast("fptosi", count, I64))

    def place(self, b: Builder, bin: Index, number: Index) -> Ssa:
        """Where a sample of a bin lies."""
        type = self.step.type
        first = b.op("fadd", self.start, b.op("fmul", b.cast("sitofp", index(bin), type), self.step))
        within = b.op("fmul", b.op("fadd", b.cast("sitofp", index(number), type), same(0.5, first)), self.step)
        return b.op("fadd", first, b.op("fdiv", within, b.cast("sitofp", index(self.count), type)))


def _add_sample(b: Builder, op: RoiAlign, image: View, plane: Ssa, taps: Sequence[Tap], total: Ssa) -> Ssa:
    """What a bin is with one more sample."""
    for tap in taps:
        value = load_element(b, image, b.gep(plane, tap.offset, image.element))
        total = maximum(b, total, b.op("fmul", value, tap.weight)) if op.largest else b.fma(value, tap.weight, total)
    return total


def _corner(b: Builder, op: RoiAlign, regions: View, row: Ssa, number: int) -> Ssa:
    value = load_element(b, regions, b.gep(row, number * regions.strides[1], regions.element))
    return b.op("fsub", b.op("fmul", value, same(op.scale, value)), same(0.5 if op.shift else 0, value))


def _neighbours(b: Builder, place: Ssa, extent: int, stride: int) -> list[Tap]:
    """The two elements around a place; one a little outside is moved to the edge, and one further out has none."""
    inside = b.op("and", b.compare("oge", place, same(-1, place)), b.compare("ole", place, same(extent, place)))
    near = b.select(inside, b.intrinsic("maxnum", place, same(0, place)), same(0, place))
    base = b.intrinsic("smin", b.cast("fptosi", near, I64), index(extent - 1))
    is_last = b.compare("eq", base, index(extent - 1))
    distance = b.op("fsub", near, b.cast("sitofp", base, near.type))
    distance = b.select(is_last, same(0, near), distance)
    following = b.select(is_last, base, b.op("add", base, index(1)))
    weights = b.op("fsub", same(1, distance), distance), distance
    return [
        Tap(b.mul(number, stride), b.select(inside, weight, same(0, weight)))
        for number, weight in zip((base, following), weights, strict=True)
    ]


def max_roi_pool(op: MaxRoiPool, result: View, image: View, regions: View, target: Target) -> Kernel:
    """``op`` on images ``[N, C, H, W]``; units are regions, for one channel."""
    channels, spatial, type = image.shape[1], image.shape[2:], REGISTERS[image.kind]

    def unit(b: Builder, call: Call) -> None:
        into, source, corners = call.operands
        region, channel = b.div(call.unit, channels), b.rem(call.unit, channels)
        row = moved(b, regions, corners, (region,))
        given = [load_element(b, regions, b.gep(row, i * regions.strides[1], regions.element)) for i in range(5)]
        source = _plane(b, image, source, b.cast("fptosi", near_zero(b, given[0]), I64), channel)
        into = moved(b, result, into, (region, channel))
        left, top, right, bottom = (_rounded(b, b.op("fmul", x, same(op.scale, x))) for x in given[1:])

        def bin(i: Index, j: Index) -> None:
            rows = _bin(b, top, bottom, i, op.pooled[0], spatial[0])
            columns = _bin(b, left, right, j, op.pooled[1], spatial[1])

            def element(y: Index, x: Index, best: list[Ssa]) -> list[Ssa]:
                value = load_element(b, image, moved(b, image, source, (0, 0, y, x)))
                return [maximum(b, best[0], value)]

            def largest() -> list[Ssa]:
                def line(y: Index, best: list[Ssa]) -> list[Ssa]:
                    return b.loop(*columns, 1, lambda x, best: element(y, x, best), best)

                return b.loop(*rows, 1, line, [same(-math.inf, zero(type))])

            some = b.op("and", b.less(*rows), b.less(*columns))
            (found,) = b.branch(some, largest, lambda: [zero(type)])
            b.store(narrow(b, found, result.element), moved(b, result, into, (0, 0, i, j)))

        b.loop(0, op.pooled[0], 1, lambda i, _: b.loop(0, op.pooled[1], 1, lambda j, _: bin(i, j)))

    return define_kernel("max_roi_pool", target, 3, regions.shape[0] * channels, 0, unit)


def _bin(b: Builder, start: Ssa, end: Ssa, number: Index, bins: int, extent: int) -> tuple[Ssa, Ssa]:
    """The first and one past the last element of a bin along one dimension."""
    size = b.intrinsic("smax", b.op("add", b.op("sub", end, start), index(1)), index(1))
    step = b.op("fdiv", b.cast("sitofp", size, F32), same(bins, zero(F32)))

    def edge(number: Index) -> Ssa:
        return b.op("fmul", b.cast("sitofp", index(number), F32), step)

    def inside(offset: Ssa) -> Ssa:
        place = b.op("add", b.cast("fptosi", offset, I64), start)
        return b.intrinsic("smax", b.intrinsic("smin", place, index(extent)), index(0))

    return inside(floor(b, edge(number))), inside(ceil(b, edge(b.add(number, 1))))


def _rounded(b: Builder, x: Ssa) -> Ssa:
    """The nearest integer, of two the one that is further from zero."""
    near = near_zero(b, x)
    return b.cast("fptosi", b.op("fadd", near, b.intrinsic("copysign", same(0.5, near), near)), I64)


def _plane(b: Builder, image: View, source: Ssa, number: Ssa, channel: Index) -> Ssa:
    """A channel of an image, of which the number is moved to the nearest that there is."""
    number = b.intrinsic("smax", b.intrinsic("smin", number, index(image.shape[0] - 1)), index(0))
    return moved(b, image, source, (number, channel))
