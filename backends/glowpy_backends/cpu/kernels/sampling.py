"""Sampling: weighted sums of the elements around places that are computed, and regions of images that are pooled.

Where the neighbours of a place lie, and their weights, is found once for all channels, of which a few are worked on
together. Floats of 16 bits are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from glowpy_backends.cpu.arithmetic import ceil, floor, maximum, round_even, same
from glowpy_backends.cpu.builder import F32, I64, Builder, Index, Ssa, Type, index, zero
from glowpy_backends.cpu.conversion import REGISTERS
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.sampling import CUBIC, FAR, TAPS, Interpolation, MaxRoiPool, Outside, RoiAlign, Sample

_NUMBERS, _LEAST_PLACES = 1024, 16
"""Numbers of neighbours that are kept for a run of places, and the least places of a run."""

_CHANNELS = 4
_CHANNELS_OF_REGIONS = 8
"""Channels that are worked on together, at most."""


@dataclass(frozen=True)
class _Tap:
    """A neighbour of a place: how far it is from the first element, its weight, and whether it exists (None: yes)."""

    offset: Index
    weight: Ssa
    exists: Ssa | None = None

    def times(self, b: Builder, other: _Tap) -> _Tap:
        """The neighbour along two dimensions, for those along each."""
        return _Tap(b.add(self.offset, other.offset), b.op("fmul", self.weight, other.weight))


def _together(channels: int, most: int) -> int:
    return max(n for n in range(1, most + 1) if channels % n == 0)


def _load(b: Builder, view: View, pointer: Ssa) -> Ssa:
    """One element, as it is in a register."""
    return widen(b, b.load(pointer, view.element), REGISTERS[view.kind])


def sample(op: Sample, result: View, image: View, places: View, target: Target) -> Kernel:
    """``op`` on views ``[N, C, *spatial]``; units are runs of places, whose neighbours are kept in scratch memory."""
    channels, count, spatial = image.shape[1], places.shape[1], image.shape[2:]
    together = _together(max(channels, 1), _CHANNELS)
    table = _Table(len(spatial), TAPS[op.interpolation], places.element)
    runs = -(-count // table.places)

    def unit(b: Builder, call: Call) -> None:
        into, source, at = call.operands
        number, first = b.div(call.unit, runs), b.mul(b.rem(call.unit, runs), table.places)
        into, source = _moved(b, result, into, (number, 0, first)), _moved(b, image, source, (number,))
        at = _moved(b, places, at, (number, first))
        here = b.smaller(table.places, b.sub(count, first))

        def find(place: Index, _: list[Ssa]) -> None:
            for d, (extent, stride) in enumerate(zip(spatial, image.strides[2:], strict=True)):
                given = b.load(_moved(b, places, at, (0, place, d)), places.element)
                for t, tap in enumerate(_taps(b, op, given, extent, stride)):
                    table.store(b, call.scratch, place, d, t, tap)

        def some(channel: Index, _: list[Ssa]) -> None:
            planes = [_moved(b, image, source, (0, b.add(channel, c))) for c in range(together)]
            rows = [_moved(b, result, into, (0, b.add(channel, c))) for c in range(together)]

            def one(place: Index, _: list[Ssa]) -> None:
                axes = table.load(b, call.scratch, place)
                for plane, row in zip(planes, rows, strict=True):
                    total = narrow(b, _weighed(b, image, plane, axes), result.element)
                    b.store(total, b.gep(row, b.mul(place, result.strides[2]), result.element))

            b.loop(0, here, 1, one)

        b.loop(0, here, 1, find)
        b.loop(0, channels, together, some)

    units = image.shape[0] * runs if channels else 0
    return define_kernel("sample", target, 3, units, table.bytes, unit)


@dataclass(frozen=True)
class _Table:
    """The neighbours of some places along each dimension, as arrays in scratch memory: numbers first, then weights."""

    rank: int
    taps: int
    element: Type

    @property
    def places(self) -> int:
        """How many places there are at most."""
        return max(_LEAST_PLACES, _NUMBERS // (self.rank * self.taps))

    @property
    def bytes(self) -> int:
        return self.rank * self.taps * self.places * (I64.element_bytes + self.element.element_bytes)

    def store(self, b: Builder, scratch: Ssa, place: Index, d: int, t: int, tap: _Tap) -> None:
        """Note a neighbour; one that does not exist weighs nothing."""
        weight = tap.weight if tap.exists is None else b.select(tap.exists, tap.weight, zero(tap.weight.type))
        offset, factor = self._at(b, scratch, place, d, t)
        b.store(index(tap.offset), offset)
        b.store(weight, factor)

    def load(self, b: Builder, scratch: Ssa, place: Index) -> list[list[_Tap]]:
        """The neighbours of a place along each dimension."""
        axes: list[list[_Tap]] = []
        for d in range(self.rank):
            places = [self._at(b, scratch, place, d, t) for t in range(self.taps)]
            axes.append([_Tap(b.load(offset, I64), b.load(factor, self.element)) for offset, factor in places])
        return axes

    def _at(self, b: Builder, scratch: Ssa, place: Index, d: int, t: int) -> tuple[Ssa, Ssa]:
        array = (d * self.taps + t) * self.places
        factors = b.gep(scratch, self.rank * self.taps * self.places, I64)
        return b.gep(scratch, b.add(place, array), I64), b.gep(factors, b.add(place, array), self.element)


def _weighed(b: Builder, image: View, plane: Ssa, axes: Sequence[Sequence[_Tap]]) -> Ssa:
    """The weighted sum over all dimensions; what weighs nothing does not count, even if it is infinite."""
    total = zero(axes[0][0].weight.type)
    for tap in axes[0]:
        inner = b.gep(plane, tap.offset, image.element)
        value = _weighed(b, image, inner, axes[1:]) if axes[1:] else _load(b, image, inner)
        counts = b.compare("une", tap.weight, zero(tap.weight.type))
        total = b.fma(b.select(counts, value, zero(value.type)), tap.weight, total)
    return total


def _taps(b: Builder, op: Sample, place: Ssa, extent: int, stride: int) -> list[_Tap]:
    """The neighbours of a place along one dimension."""
    near = _near_zero(b, place)
    base = round_even(b, near) if op.interpolation is Interpolation.NEAREST else floor(b, near)
    weights = _weights(b, op.interpolation, b.op("fsub", near, base))
    first = b.sub(b.cast("fptosi", base, I64), (len(weights) - 1) // 2)
    taps = []
    for i, weight in enumerate(weights):
        number, exists = _folded(b, op.outside, index(b.add(first, i)), extent)
        taps.append(_Tap(b.mul(number, stride), weight, exists))
    return taps


def _weights(b: Builder, interpolation: Interpolation, distance: Ssa) -> list[Ssa]:
    def from_one(sign: str, number: float) -> Ssa:
        return b.op(sign, same(number, distance), distance)

    match interpolation:
        case Interpolation.NEAREST:
            return [same(1, distance)]
        case Interpolation.LINEAR:
            return [from_one("fsub", 1), distance]
        case Interpolation.CUBIC:
            inner = [_near(b, distance), _near(b, from_one("fsub", 1))]
            return [_far(b, from_one("fadd", 1)), *inner, _far(b, from_one("fsub", 2))]


def _near(b: Builder, d: Ssa) -> Ssa:
    """The cubic's weight at a distance up to 1."""
    slope = b.op("fsub", b.op("fmul", same(CUBIC + 2, d), d), same(CUBIC + 3, d))
    return b.op("fadd", b.op("fmul", b.op("fmul", slope, d), d), same(1, d))


def _far(b: Builder, d: Ssa) -> Ssa:
    """The cubic's weight at a distance from 1 to 2."""
    inner = b.op("fsub", b.op("fmul", same(CUBIC, d), d), same(5 * CUBIC, d))
    outer = b.op("fadd", b.op("fmul", inner, d), same(8 * CUBIC, d))
    return b.op("fsub", b.op("fmul", outer, d), same(4 * CUBIC, d))


def _folded(b: Builder, outside: Outside, number: Ssa, extent: int) -> tuple[Ssa, Ssa | None]:
    """Which element a number stands for, and whether there is one."""

    def smaller(x: Ssa, y: Ssa) -> Ssa:
        return b.intrinsic("smin", x, y)

    match outside:
        case Outside.ZERO:
            inside = b.compare("ult", number, index(extent))
            return b.select(inside, number, index(0)), inside
        case Outside.EDGE:
            return b.intrinsic("smax", smaller(number, index(extent - 1)), index(0)), None
        case Outside.REFLECT:
            period = max(2 * (extent - 1), 1)
            rest = _modulo(b, number, period)
            return smaller(rest, b.op("sub", index(period), rest)) if extent > 1 else index(0), None
        case Outside.SYMMETRIC:
            rest = _modulo(b, number, 2 * extent)
            return smaller(rest, b.op("sub", index(2 * extent - 1), rest)), None


def _modulo(b: Builder, number: Ssa, period: int) -> Ssa:
    """The remainder that is not negative."""
    rest = b.op("srem", number, index(period))
    return b.select(b.compare("slt", rest, index(0)), b.op("add", rest, index(period)), rest)


def roi_align(op: RoiAlign, result: View, image: View, regions: View, batch: View, target: Target) -> Kernel:
    """``op`` on images ``[N, C, H, W]``; units are regions, for a few channels."""
    channels, spatial, type = image.shape[1], image.shape[2:], REGISTERS[image.kind]
    together = _together(max(channels, 1), _CHANNELS_OF_REGIONS)
    blocks = channels // together

    def unit(b: Builder, call: Call) -> None:
        into, source, corners, numbers = call.operands
        region, channel = b.div(call.unit, blocks), b.mul(b.rem(call.unit, blocks), together)
        number = b.load(b.gep(numbers, b.mul(region, batch.strides[0]), I64), I64)
        source = _plane(b, image, source, number, channel)
        into = _moved(b, result, into, (region, channel))
        row = _moved(b, regions, corners, (region,))
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
                pointer = _moved(b, result, into, (0, c, i, j))
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
        count = b.intrinsic("minnum", b.intrinsic("maxnum", ceil(b, step), same(0, step)), same(extent, step))
        return cls(start, step, b.cast("fptosi", count, I64))

    def place(self, b: Builder, bin: Index, number: Index) -> Ssa:
        """Where a sample of a bin lies."""
        type = self.step.type
        first = b.op("fadd", self.start, b.op("fmul", b.cast("sitofp", index(bin), type), self.step))
        within = b.op("fmul", b.op("fadd", b.cast("sitofp", index(number), type), same(0.5, first)), self.step)
        return b.op("fadd", first, b.op("fdiv", within, b.cast("sitofp", index(self.count), type)))


def _add_sample(b: Builder, op: RoiAlign, image: View, plane: Ssa, taps: Sequence[_Tap], total: Ssa) -> Ssa:
    """What a bin is with one more sample."""
    for tap in taps:
        value = _load(b, image, b.gep(plane, tap.offset, image.element))
        total = maximum(b, total, b.op("fmul", value, tap.weight)) if op.largest else b.fma(value, tap.weight, total)
    return total


def _corner(b: Builder, op: RoiAlign, regions: View, row: Ssa, number: int) -> Ssa:
    value = _load(b, regions, b.gep(row, number * regions.strides[1], regions.element))
    return b.op("fsub", b.op("fmul", value, same(op.scale, value)), same(0.5 if op.shift else 0, value))


def _neighbours(b: Builder, place: Ssa, extent: int, stride: int) -> list[_Tap]:
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
        _Tap(b.mul(number, stride), b.select(inside, weight, same(0, weight)))
        for number, weight in zip((base, following), weights, strict=True)
    ]


def max_roi_pool(op: MaxRoiPool, result: View, image: View, regions: View, target: Target) -> Kernel:
    """``op`` on images ``[N, C, H, W]``; units are regions, for one channel."""
    channels, spatial, type = image.shape[1], image.shape[2:], REGISTERS[image.kind]

    def unit(b: Builder, call: Call) -> None:
        into, source, corners = call.operands
        region, channel = b.div(call.unit, channels), b.rem(call.unit, channels)
        row = _moved(b, regions, corners, (region,))
        given = [_load(b, regions, b.gep(row, i * regions.strides[1], regions.element)) for i in range(5)]
        source = _plane(b, image, source, b.cast("fptosi", _near_zero(b, given[0]), I64), channel)
        into = _moved(b, result, into, (region, channel))
        left, top, right, bottom = (_rounded(b, b.op("fmul", x, same(op.scale, x))) for x in given[1:])

        def bin(i: Index, j: Index) -> None:
            rows = _bin(b, top, bottom, i, op.pooled[0], spatial[0])
            columns = _bin(b, left, right, j, op.pooled[1], spatial[1])

            def element(y: Index, x: Index, best: list[Ssa]) -> list[Ssa]:
                value = _load(b, image, _moved(b, image, source, (0, 0, y, x)))
                return [maximum(b, best[0], value)]

            def largest() -> list[Ssa]:
                def line(y: Index, best: list[Ssa]) -> list[Ssa]:
                    return b.loop(*columns, 1, lambda x, best: element(y, x, best), best)

                return b.loop(*rows, 1, line, [same(-math.inf, zero(type))])

            some = b.op("and", b.less(*rows), b.less(*columns))
            (found,) = b.branch(some, largest, lambda: [zero(type)])
            b.store(narrow(b, found, result.element), _moved(b, result, into, (0, 0, i, j)))

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


def _near_zero(b: Builder, x: Ssa) -> Ssa:
    """A float that an integer can hold."""
    return b.intrinsic("minnum", b.intrinsic("maxnum", x, same(-FAR, x)), same(FAR, x))


def _rounded(b: Builder, x: Ssa) -> Ssa:
    """The nearest integer, of two the one that is further from zero."""
    near = _near_zero(b, x)
    return b.cast("fptosi", b.op("fadd", near, b.intrinsic("copysign", same(0.5, near), near)), I64)


def _plane(b: Builder, image: View, source: Ssa, number: Ssa, channel: Index) -> Ssa:
    """A channel of an image, of which the number is moved to the nearest that there is."""
    number = b.intrinsic("smax", b.intrinsic("smin", number, index(image.shape[0] - 1)), index(0))
    return _moved(b, image, source, (number, channel))


def _moved(b: Builder, view: View, pointer: Ssa, places: Sequence[Index]) -> Ssa:
    """The address at an index, of which trailing zeros may be left out."""
    offset: Index = 0
    for place, stride in zip(places, view.strides, strict=False):
        offset = b.add(offset, b.mul(place, stride))
    return b.gep(pointer, offset, view.element)
