"""Convolution of images that are not blocked: any rank, any kind, and weights that are computed.

Whatever the windows of one row of results see is brought into the scratch first, with zeros where nothing is, and
with elements that are a stride apart next to each other. What remains is a matrix product: weights times shifted rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from glowpy_backends.cpu.builder import BF16, F16, F32, Builder, Index, Ssa, Type, index, zero
from glowpy_backends.cpu.epilogue import Epilogue, Output, Tile, load_vector
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.convolution import Conv

_UNITS = 64
"""As many units as a kernel is cut into, at least, if there is so much to do."""

_CHANNELS = 6
"""Channels of the result that are computed together."""

_PIECE = 8 * _CHANNELS
"""So many channels are worth bringing rows into the scratch for them alone."""

_UNROLLED = 12
"""Up to so many taps along a row are written out one by one."""


@dataclass(frozen=True)
class _Walk:
    """``extent`` steps through the scratch and the weights; or steps to ``places`` in the scratch, written out."""

    extent: int
    row: int
    factor: int
    places: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """What is known before any code."""

    op: Conv
    result: View
    image: View
    weights: View
    type: Type
    """A vector of what is computed with."""
    vectors: int
    """Vectors along a row of results that are computed together."""

    @classmethod
    def of(cls, op: Conv, result: View, image: View, weights: View, target: Target) -> _Plan:
        element = F32 if image.element in (F16, BF16) else image.element
        type = element.vector(target.lanes(element.element_bytes))
        fitting = (target.registers - 2) // (_CHANNELS + 1)
        return cls(op, result, image, weights, type, max(1, min(fitting, -(-result.shape[-1] // type.lanes))))

    @property
    def group_channels(self) -> int:
        """Channels of the result in a group."""
        return self.result.shape[1] // self.op.groups

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows that a row of results sees: channels, then taps of all dimensions but the last."""
        return self.weights.shape[1:-1]

    @property
    def phase(self) -> int:
        """Elements of the scratch for every ``stride``-th element of a row."""
        furthest = (self.weights.shape[-1] - 1) * self.op.dilations[-1] // self.op.strides[-1]
        return -(-self.result.shape[-1] // self.type.lanes) * self.type.lanes + furthest

    @property
    def row(self) -> int:
        """Elements of the scratch for one row."""
        return self.phase * self.op.strides[-1]

    def at_tap(self, tap: int) -> int:
        """Where in a row of the scratch a tap of the first window lies."""
        step, start = self.op.strides[-1], tap * self.op.dilations[-1]
        return start % step * self.phase + start // step


def plain_convolution(
    op: Conv, result: View, image: View, weights: View, epilogue: Epilogue, target: Target
) -> Kernel:
    """``op`` on views ``[N, C, *spatial]`` and ``[M, C/groups, *kernel]``; the epilogue's start is the bias.

    Units are image x group x row of results x piece of the channels.
    """
    plan = _Plan.of(op, result, image, weights, target)
    extents = result.shape[2:-1]
    lines = result.shape[0] * op.groups * math.prod(extents)
    pieces = max(1, min(plan.group_channels // _PIECE, _UNITS // max(1, lines)))
    piece = -(-plan.group_channels // pieces // _CHANNELS) * _CHANNELS if pieces > 1 else plan.group_channels
    pieces = -(-plan.group_channels // piece)

    def unit(b: Builder, call: Call) -> None:
        into, source, factors, *extra = call.operands
        output = Output(b, result, into, epilogue, extra, plan.type.lanes)
        number, part = b.div(call.unit, pieces), b.rem(call.unit, pieces)
        places: list[Index] = []
        for extent in reversed(extents):
            places.insert(0, b.rem(number, extent))
            number = b.div(number, extent)
        batch, group = b.div(number, op.groups), b.rem(number, op.groups)
        first = b.mul(group, weights.shape[1])
        offset = b.add(b.mul(batch, image.strides[0]), b.mul(first, image.strides[1]))
        line = _Line(b, plan, call.scratch)
        line.bring(b.gep(source, offset, image.element), places)
        start = b.mul(part, piece)
        stop = b.smaller(b.add(start, piece), plan.group_channels)
        base = b.mul(group, plan.group_channels)

        def channels(m: Index, count: int) -> None:
            channel = b.add(base, m)
            matrix = b.gep(factors, b.mul(channel, weights.strides[0]), weights.element)
            line.multiply(matrix, count, output, (batch, channel, *places))

        tail = plan.group_channels % _CHANNELS
        def six(m: Index, _: list[Ssa]) -> None:
            channels(m, _CHANNELS)

        whole = b.smaller(stop, plan.group_channels - tail)
        if pieces > 1:
            b.branch(b.less(start, whole), lambda: b.loop(start, whole, _CHANNELS, six))
        else:
            b.loop(start, whole, _CHANNELS, six)
        if tail:
            last = b.compare("eq", index(stop), index(plan.group_channels))
            b.branch(last, lambda: channels(plan.group_channels - tail, tail))

    scratch = math.prod(plan.rows) * plan.row * plan.type.element_bytes
    count = lines * pieces if 0 not in result.shape else 0
    return define_kernel("conv", target, 3 + len(epilogue.views), count, scratch, unit)


@dataclass(frozen=True)
class _Line:
    """One row of results at work."""

    b: Builder
    plan: _Plan
    scratch: Ssa

    def bring(self, source: Ssa, places: Sequence[Index]) -> None:
        """Brings all rows into the scratch that the row of results at ``places`` sees, zeros for those outside."""
        b, op, image = self.b, self.plan.op, self.plan.image

        def walk(source: Ssa, inside: Ssa | None, row: Index, dims: Sequence[int]) -> None:
            if not dims:
                place = b.gep(self.scratch, b.mul(row, self.plan.row), self.plan.type.scalar)
                if inside is None:
                    self._row(source, place)
                else:
                    b.branch(inside, lambda: self._row(source, place), lambda: self._zeros(place, 0, self.plan.row))
                return
            d, *others = dims
            extent = self.plan.rows[d]

            def step(tap: Index, _: list[Ssa]) -> None:
                at, within = tap, inside
                if d:
                    start = b.sub(b.mul(places[d - 1], op.strides[d - 1]), op.before[d - 1])
                    at = b.add(start, b.mul(tap, op.dilations[d - 1]))
                    if op.before[d - 1] or op.after[d - 1]:
                        low = b.compare("sge", index(at), index(0))
                        here = b.op("and", low, b.less(at, image.shape[1 + d]))
                        within = here if inside is None else b.op("and", inside, here)
                moved = b.gep(source, b.mul(at, image.strides[1 + d]), image.element)
                walk(moved, within, b.add(b.mul(row, extent), tap), others)

            b.loop(0, extent, 1, step)

        walk(source, None, 0, range(len(self.plan.rows)))

    def _row(self, source: Ssa, place: Ssa) -> None:
        """One row with its zeros, sorted by phase."""
        b, plan = self.b, self.plan
        step, before, extent = plan.op.strides[-1], plan.op.before[-1], plan.image.shape[-1]
        stride = plan.image.strides[-1]
        for phase in {tap * plan.op.dilations[-1] % step: None for tap in range(plan.weights.shape[-1])}:
            first = max(0, -(-(before - phase) // step))
            count = max(0, min(-(-(extent + before - phase) // step), plan.phase) - first)
            start, origin = phase * plan.phase, (first * step + phase - before) * stride
            self._zeros(place, start, start + first)
            self._copy(b.gep(source, origin, plan.image.element), step * stride, count, place, start + first)
            self._zeros(place, start + first + count, start + plan.phase)

    def _copy(self, source: Ssa, stride: int, count: int, place: Ssa, start: int) -> None:
        """``count`` elements that are ``stride`` apart, to the scratch from element ``start`` on."""
        b, plan = self.b, self.plan
        view, lanes = View(plan.image.kind, (count,), (stride,)), plan.type.lanes

        def vector(x: Index, exist: int) -> None:
            loaded = load_vector(b, view, b.gep(source, b.mul(x, stride), view.element), lanes, exist)
            to = b.gep(place, b.add(x, start), plan.type.scalar)
            b.store_first(widen(b, loaded, plan.type.scalar), to, exist)

        whole = count // lanes * lanes
        b.loop(0, whole, lanes, lambda x, _: vector(x, lanes))
        if whole < count:
            vector(whole, count - whole)

    def _zeros(self, place: Ssa, start: int, end: int) -> None:
        b, type = self.b, self.plan.type
        whole = start + (end - start) // type.lanes * type.lanes
        b.loop(start, whole, type.lanes, lambda x, _: b.store(zero(type), b.gep(place, x, type.scalar)))
        if whole < end:
            b.store_first(zero(type), b.gep(place, whole, type.scalar), end - whole)

    def multiply(self, matrix: Ssa, channels: int, output: Output, origin: Sequence[Index]) -> None:
        """A row of results in ``channels`` channels; ``matrix`` points at the weights of the first."""
        plan, width, lanes = self.plan, self.plan.result.shape[-1], self.plan.type.lanes
        together = plan.vectors * lanes
        grouped = width // together * together

        def results(x: Index, end: int) -> None:
            """Vectors from ``x`` on, ``end`` elements of them."""
            counts = [min(lanes, end - v) for v in range(0, end, lanes)]
            self._tile(output.tile((*origin, x)), matrix, channels, x, counts)

        self.b.loop(0, grouped, together, lambda x, _: results(x, together))
        if grouped < width:
            results(grouped, width - grouped)

    def _tile(self, tile: Tile, matrix: Ssa, channels: int, x: Index, counts: Sequence[int]) -> None:
        b, plan = self.b, self.plan
        middle = (0,) * (len(plan.result.shape) - 3)
        places = [(0, m, *middle, v * plan.type.lanes) for m in range(channels) for v in range(len(counts))]
        exist = list(counts) * channels
        sums = [
            widen(b, tile.start(place, count, plan.type), plan.type.scalar)
            for place, count in zip(places, exist, strict=True)
        ]
        for offset, factor, walks in self._taps():
            rows = b.gep(self.scratch, b.add(x, offset), plan.type.scalar)
            factors = b.gep(matrix, factor, plan.weights.element)
            sums = self._sums(rows, factors, [*self._row_walks(), *walks], sums, channels)
        for place, count, total in zip(places, exist, sums, strict=True):
            tile.finish(narrow(b, total, plan.image.element), place, count)

    def _row_walks(self) -> list[_Walk]:
        """The walk over the rows in the scratch, and over their weights."""
        walks: list[_Walk] = []
        distance = self.plan.row
        for extent, stride in reversed(list(zip(self.plan.rows, self.plan.weights.strides[1:-1], strict=True))):
            if walks and (walks[0].row * walks[0].extent, walks[0].factor * walks[0].extent) == (distance, stride):
                walks[0] = replace(walks[0], extent=walks[0].extent * extent)
            elif extent > 1:
                walks.insert(0, _Walk(extent, distance, stride))
            distance *= extent
        return walks

    def _taps(self) -> list[tuple[int, int, list[_Walk]]]:
        """The taps along a row: where they begin in the scratch and in the weights, and how to go on from there."""
        plan, stride = self.plan, self.plan.weights.strides[-1]
        taps, step, dilation = plan.weights.shape[-1], plan.op.strides[-1], plan.op.dilations[-1]
        if taps <= _UNROLLED or (step > 1 and dilation > 1):
            return [(0, 0, [_Walk(taps, 0, stride, tuple(map(plan.at_tap, range(taps))))])]
        if step == 1:
            return [(0, 0, [_Walk(taps, dilation, stride)])]
        rounds, rest = divmod(taps, step)
        whole = (0, 0, [_Walk(step, plan.phase, stride), _Walk(rounds, 1, step * stride)])
        partly = (rounds, rounds * step * stride, [_Walk(rest, plan.phase, stride)])
        return [part for part, extent in ((whole, rounds), (partly, rest)) if extent]

    def _sums(self, rows: Ssa, factors: Ssa, walks: Sequence[_Walk], sums: list[Ssa], channels: int) -> list[Ssa]:
        """``sums`` plus all products along the walks."""
        b, plan = self.b, self.plan
        if not walks:
            return self._products(rows, factors, sums, channels)
        first, *others = walks
        if first.places:
            for number, place in enumerate(first.places):
                at = b.gep(rows, place, plan.type.scalar)
                weight = b.gep(factors, number * first.factor, plan.weights.element)
                sums = self._sums(at, weight, others, sums, channels)
            return sums

        def step(i: Index, carried: list[Ssa]) -> list[Ssa]:
            at = b.gep(rows, b.mul(i, first.row), plan.type.scalar)
            weight = b.gep(factors, b.mul(i, first.factor), plan.weights.element)
            return self._sums(at, weight, others, carried, channels)

        return b.loop(0, first.extent, 1, step, sums)

    def _products(self, row: Ssa, factors: Ssa, sums: list[Ssa], channels: int) -> list[Ssa]:
        b, plan = self.b, self.plan
        type, vectors = plan.type, len(sums) // channels
        values = [b.load(b.gep(row, v * type.lanes, type.scalar), type) for v in range(vectors)]
        result: list[Ssa] = []
        for m in range(channels):
            weight = b.load(b.gep(factors, m * plan.weights.strides[0], plan.weights.element), plan.weights.element)
            wide = b.splat(widen(b, weight, type.scalar), type.lanes)
            result += [b.fma(v, wide, total) for v, total in zip(values, sums[m * vectors :], strict=False)]
        return result

