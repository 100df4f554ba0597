"""Sampling: weighted sums of the elements around places that are computed.

Where the neighbours of a place lie, and their weights, is found once for all channels, of which a few are worked on
together. Floats of 16 bits are computed in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.arithmetic import floor, round_even, same
from glowpy_backends.cpu.builder import I64, Builder, Index, Ssa, Type, index, zero
from glowpy_backends.cpu.conversion import REGISTERS
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.sampling import CUBIC, FAR, TAPS, Interpolation, Outside, Sample

_NUMBERS, _LEAST_PLACES = 1024, 16
"""Numbers of neighbours that are kept for a run of places, and the least places of a run."""

_CHANNELS = 4
"""Channels that are worked on together, at most."""


@dataclass(frozen=True)
class Tap:
    """A neighbour of a place: how far it is from the first element, its weight, and whether it exists (None: yes)."""

    offset: Index
    weight: Ssa
    exists: Ssa | None = None

    def times(self, b: Builder, other: Tap) -> Tap:
        """The neighbour along two dimensions, for those along each."""
        return Tap(b.add(self.offset, other.offset), b.op("fmul", self.weight, other.weight))


def together_of(channels: int, most: int) -> int:
    """How many channels are worked on together, without a rest."""
    return max(n for n in range(1, most + 1) if channels % n == 0)


def load_element(b: Builder, view: View, pointer: Ssa) -> Ssa:
    """One element, as it is in a register."""
    return widen(b, b.load(pointer, view.element), REGISTERS[view.kind])


def sample(op: Sample, result: View, image: View, places: View, target: Target) -> Kernel:
    """``op`` on views ``[N, C, *spatial]``; units are runs of places, whose neighbours are kept in scratch memory."""
    channels, count, spatial = image.shape[1], places.shape[1], image.shape[2:]
    together = together_of(max(channels, 1), _CHANNELS)
    table = _Table(len(spatial), TAPS[op.interpolation], places.element)
    runs = -(-count // table.places)

    def unit(b: Builder, call: Call) -> None:
        into, source, at = call.operands
        number, first = b.div(call.unit, runs), b.mul(b.rem(call.unit, runs), table.places)
        into, source = moved(b, result, into, (number, 0, first)), moved(b, image, source, (number,))
        at = moved(b, places, at, (number, first))
        here = b.smaller(table.places, b.sub(count, first))

        def find(place: Index, _: list[Ssa]) -> None:
            for d, (extent, stride) in enumerate(zip(spatial, image.strides[2:], strict=True)):
                given = b.load(moved(b, places, at, (0, place, d)), places.element)
                for t, tap in enumerate(_taps(b, op, given, extent, stride)):
                    table.store(b, call.scratch, place, d, t, tap)

        def some(channel: Index, _: list[Ssa]) -> None:
            planes = [moved(b, image, source, (0, b.add(channel, c))) for c in range(together)]
            rows = [moved(b, result, into, (0, b.add(channel, c))) for c in range(together)]

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

    def store(self, b: Builder, scratch: Ssa, place: Index, d: int, t: int, tap: Tap) -> None:
        """Note a neighbour; one that does not exist weighs nothing."""
        weight = tap.weight if tap.exists is None else b.select(tap.exists, tap.weight, zero(tap.weight.type))
        offset, factor = self._at(b, scratch, place, d, t)
        b.store(index(tap.offset), offset)
        b.store(weight, factor)

    def load(self, b: Builder, scratch: Ssa, place: Index) -> list[list[Tap]]:
        """The neighbours of a place along each dimension."""
        axes: list[list[Tap]] = []
        for d in range(self.rank):
            places = [self._at(b, scratch, place, d, t) for t in range(self.taps)]
            axes.append([Tap(b.load(offset, I64), b.load(factor, self.element)) for offset, factor in places])
        return axes

    def _at(self, b: Builder, scratch: Ssa, place: Index, d: int, t: int) -> tuple[Ssa, Ssa]:
        array = (d * self.taps + t) * self.places
        factors = b.gep(scratch, self.rank * self.taps * self.places, I64)
        return b.gep(scratch, b.add(place, array), I64), b.gep(factors, b.add(place, array), self.element)


def _weighed(b: Builder, image: View, plane: Ssa, axes: Sequence[Sequence[Tap]]) -> Ssa:
    """The weighted sum over all dimensions; what weighs nothing does not count, even if it is infinite."""
    total = zero(axes[0][0].weight.type)
    for tap in axes[0]:
        inner = b.gep(plane, tap.offset, image.element)
        value = _weighed(b, image, inner, axes[1:]) if axes[1:] else load_element(b, image, inner)
        counts = b.compare("une", tap.weight, zero(tap.weight.type))
        total = b.fma(b.select(counts, value, zero(value.type)), tap.weight, total)
    return total


def _taps(b: Builder, op: Sample, place: Ssa, extent: int, stride: int) -> list[Tap]:
    """The neighbours of a place along one dimension."""
    near = near_zero(b, place)
    base = round_even(b, near) if op.interpolation is Interpolation.NEAREST else floor(b, near)
    weights = _weights(b, op.interpolation, b.op("fsub", near, base))
    first = b.sub(b.cast("fptosi", base, I64), (len(weights) - 1) // 2)
    taps = []
    for i, weight in enumerate(weights):
        number, exists = _folded(b, op.outside, index(b.add(first, i)), extent)
        taps.append(Tap(b.mul(number, stride), weight, exists))
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


def near_zero(b: Builder, x: Ssa) -> Ssa:
    """A float that an integer can hold."""
    return b.intrinsic("minnum", b.intrinsic("maxnum", x, same(-FAR, x)), same(FAR, x))


def moved(b: Builder, view: View, pointer: Ssa, places: Sequence[Index]) -> Ssa:
    """The address at an index, of which trailing zeros may be left out."""
    offset: Index = 0
    for place, stride in zip(places, view.strides, strict=False):
        offset = b.add(offset, b.mul(place, stride))
    return b.gep(pointer, offset, view.element)
