"""Pooling: windows are combined first across the rows they touch, then along one row.

So a window of ``k x k`` takes ``2 k`` steps instead of ``k²``. The row between the two steps lies in the scratch with
its padding around it, which spares the second step all questions about edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import product

from glowpy_backends.cpu.builder import BF16, F16, F32, Builder, Index, Ssa, Type, constant, index, zero
from glowpy_backends.cpu.epilogue import Epilogue, Output, load_vector
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.reduction import COMBINE, neutral
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.ops.reduction import ReduceMax, ReduceSum, Reduction

_TOGETHER = 4
"""Vectors that are computed side by side."""

_UNITS = 64
"""As many units as a kernel is cut into, about."""

_UNROLLED = 25
"""Up to so many taps, across rows or along one, are written out one by one."""


@dataclass(frozen=True)
class Axis:
    """One spatial dimension: how windows lie along it."""

    extent: int
    stride: int
    """From one element of the image to the next, in memory."""
    count: int
    kernel: int
    step: int
    """From one window to the next, in elements."""
    before: int
    dilation: int
    counted: tuple[int, int]
    """What counts for an average, from the first element on; it may include padding."""

    @property
    def reach(self) -> int:
        return (self.kernel - 1) * self.dilation + 1

    def between(self, window: int, first: int, end: int) -> range:
        """The taps of a window that lie at ``first`` or after it, and before ``end``."""
        start = window * self.step - self.before
        return range(
            min(self.kernel, max(0, -(-(first - start) // self.dilation))),
            max(0, min(self.kernel, -(-(end - start) // self.dilation))),
        )

    def inside(self, window: int) -> range:
        """The taps of a window that lie in the image."""
        return self.between(window, 0, self.extent)

    def divisor(self, window: int) -> int:
        """How many taps of a window count."""
        return max(1, len(self.between(window, *self.counted)))

    @cached_property
    def is_whole(self) -> bool:
        """Whether every window lies in the image entirely."""
        return all(len(self.inside(window)) == self.kernel for window in range(self.count))

    @cached_property
    def divisors(self) -> list[int]:
        return [self.divisor(window) for window in range(self.count)]


def pool(op: MaxPool | AveragePool, result: View, image: View, epilogue: Epilogue, target: Target) -> Kernel:
    """The largest or the mean element under each window.

    The views are ``[N, C, *spatial]``, or ``[N, C/b, *spatial, b]`` with blocks of channels. Units are image x channel
    (or block) x piece of the rows.
    """
    plan = _Plan.of(op, image, result, target)
    batch, channels = image.shape[:2]
    rows = math.prod(axis.count for axis in plan.outer)
    per_unit = -(-rows // max(1, min(rows, _UNITS // max(1, batch * channels))))
    pieces = -(-rows // per_unit)

    def unit(b: Builder, call: Call) -> None:
        result_pointer, source, *extra = call.operands
        output = Output(b, result, result_pointer, epilogue, extra, plan.type.lanes)
        row = _Row(b, plan, call.scratch)
        b.branch(call.first, row.prepare)
        plane, first = b.div(call.unit, pieces), b.mul(b.rem(call.unit, pieces), per_unit)
        number, channel = b.div(plane, channels), b.rem(plane, channels)
        offset = b.add(b.mul(number, image.strides[0]), b.mul(channel, image.strides[1]))
        origin = b.gep(source, offset, image.element)

        def pooled(index: Index, _: list[Ssa]) -> None:
            places = _unravel(b, index, [axis.count for axis in plan.outer])
            row.collapse(origin, places)
            row.slide(output, (number, channel, *places), row.scale(places))

        b.loop(first, b.smaller(b.add(first, per_unit), rows), 1, pooled)

    scratch = plan.scratch * plan.type.element_bytes
    return define_kernel("pool", target, 2 + len(epilogue.views), batch * channels * pieces, scratch, unit)


@dataclass(frozen=True)
class _Plan:
    """What is known before any code: how windows lie, and how the scratch is used.

    The scratch holds one row of columns (single elements, or blocks) with its padding, and behind it, for a mean, one
    over the number of taps that count in each window of a row.
    """

    op: MaxPool | AveragePool
    image: View
    axes: tuple[Axis, ...]
    type: Type
    """A vector of what is computed with: a block of channels, or as many elements as fit."""
    block: int

    @classmethod
    def of(cls, op: MaxPool | AveragePool, image: View, result: View, target: Target) -> _Plan:
        rank = len(op.kernel)
        block = image.shape[-1] if len(image.shape) == rank + 3 else 0
        element = F32 if image.element in (F16, BF16) else image.element
        overhang = (op.overhang if isinstance(op, AveragePool) else ()) or (0,) * rank
        pads = isinstance(op, AveragePool) and op.count_include_pad
        axes = tuple(
            Axis(
                image.shape[2 + d], image.strides[2 + d], result.shape[2 + d],
                op.kernel[d], op.strides[d], op.before[d], op.dilations[d],
                (-pads * op.before[d], image.shape[2 + d] + pads * (op.after[d] - overhang[d])),
            )
            for d in range(rank)
        )  # fmt: skip
        return cls(op, image, axes, element.vector(block or target.lanes(element.element_bytes)), block)

    @property
    def reduction(self) -> Reduction:
        return ReduceMax(()) if isinstance(self.op, MaxPool) else ReduceSum(())

    @property
    def may_miss(self) -> bool:
        """Whether some window lies wholly in the padding."""
        return any(not axis.inside(window) for axis in self.outer for window in range(axis.count))

    @property
    def outer(self) -> tuple[Axis, ...]:
        return self.axes[:-1]

    @property
    def across(self) -> Axis:
        return self.axes[-1]

    @property
    def column(self) -> int:
        """Elements of the scratch for each column."""
        return self.block or 1

    @property
    def row(self) -> int:
        """Elements of the scratch for the row; the last vector of windows may read far behind the last column."""
        windows = self.across.count if self.block else -(-self.across.count // self.type.lanes) * self.type.lanes
        columns = max((windows - 1) * self.across.step + self.across.reach, self.across.before + self.across.extent)
        return (columns + (0 if self.block else self.type.lanes)) * self.column

    @property
    def scratch(self) -> int:
        """Elements in all."""
        varies = isinstance(self.op, AveragePool) and len(set(self.across.divisors)) > 1
        return self.row + (-(-self.across.count // self.type.lanes) * self.type.lanes if varies else 0)


@dataclass(frozen=True)
class _Row:
    """One row of results at work."""

    b: Builder
    plan: _Plan
    scratch: Ssa

    def prepare(self) -> None:
        """Writes the padding around the row, and what sums of a row are multiplied by."""
        plan, across = self.plan, self.plan.across
        lead = across.before * plan.column
        neutral = constant(self._neutral, plan.type)
        self._fill(0, lead, neutral)
        self._fill(lead + across.extent * plan.column, plan.row, neutral)
        if plan.scratch > plan.row:
            self._fill(plan.row, plan.scratch, constant(1 / across.kernel, plan.type))
            differ = [window for window, divisor in enumerate(across.divisors) if divisor != across.kernel]
            for start, end in _runs(differ):
                self.b.loop(start, end, 1, lambda window, _: self._write_share(window))

    def _write_share(self, window: Index) -> None:
        """Writes what the sum of a window of the row is multiplied by."""
        b, plan, across = self.b, self.plan, self.plan.across
        if isinstance(window, int):
            share = constant(1 / across.divisor(window), plan.type.scalar)
        else:
            first, last = self._bounds(across, b.sub(b.mul(window, across.step), across.before), *across.counted)
            share = self._share(_larger(b, b.sub(last, first), 1))
        self._store(share, b.add(window, plan.row))

    def _share(self, taps: Index) -> Ssa:
        """One over the number of taps."""
        b, scalar = self.b, self.plan.type.scalar
        return b.op("fdiv", constant(1, scalar), b.cast("sitofp", index(taps), scalar))

    def collapse(self, plane: Ssa, places: Sequence[Index]) -> None:
        """Combines the image's rows under the windows at these places, column by column, into the scratch."""
        b, plan = self.b, self.plan
        walks: list[tuple[Index, int]] = []
        for axis, place in zip(plan.outer, places, strict=True):
            start = b.sub(b.mul(place, axis.step), axis.before)
            first, last = (0, axis.kernel) if axis.is_whole else self._bounds(axis, start, 0, axis.extent)
            top = b.add(start, b.mul(first, axis.dilation))
            plane = b.gep(plane, b.mul(top, axis.stride), plan.image.element)
            walks.append((b.sub(last, first), axis.dilation * axis.stride))
        whole = [(axis.kernel, distance) for axis, (_, distance) in zip(plan.outer, walks, strict=True)]
        if math.prod(extent for extent, _ in whole) > _UNROLLED:
            self._columns(plane, walks)
        elif all(axis.is_whole for axis in plan.outer):
            self._columns(plane, whole)
        else:
            missing: Index = 0
            for axis, (extent, _) in zip(plan.outer, walks, strict=True):
                missing = b.add(missing, b.sub(axis.kernel, extent))
            b.branch(b.less(0, missing), lambda: self._columns(plane, walks), lambda: self._columns(plane, whole))

    def _columns(self, plane: Ssa, walks: Sequence[tuple[Index, int]]) -> None:
        b, plan, across = self.b, self.plan, self.plan.across
        width = 1 if plan.block else plan.type.lanes  # columns in a vector

        def columns(x: Index, vectors: int, lanes: int) -> None:
            place = b.gep(plane, b.mul(x, across.stride), plan.image.element)
            pointers = [b.gep(place, i * width * across.stride, plan.image.element) for i in range(vectors)]
            for i, value in enumerate(self._combined(pointers, walks, lanes)):
                target = b.mul(b.add(x, across.before + i * width), plan.column)
                b.store_first(value, b.gep(self.scratch, target, plan.type.scalar), lanes)

        together, whole = _TOGETHER * width, across.extent // width * width
        grouped = whole // together * together
        b.loop(0, grouped, together, lambda x, _: columns(x, _TOGETHER, plan.type.lanes))
        if whole > grouped:
            columns(grouped, (whole - grouped) // width, plan.type.lanes)
        if across.extent > whole:
            columns(whole, 1, across.extent - whole)

    def _combined(self, pointers: Sequence[Ssa], walks: Sequence[tuple[Index, int]], lanes: int) -> list[Ssa]:
        """The vectors that the walks visit from each of the pointers on, combined."""
        b, plan = self.b, self.plan
        element = plan.image.element
        steps = [[i * distance for i in range(extent)] for extent, distance in walks if isinstance(extent, int)]
        if len(steps) == len(walks):
            values: list[Ssa] = []
            for displacement in map(sum, product(*steps)):
                loaded = [self._load(b.gep(pointer, displacement, element), lanes) for pointer in pointers]
                values = [self._combine(*pair) for pair in zip(values, loaded, strict=True)] if values else loaded
            return values

        def walk(offset: Index, walks: Sequence[tuple[Index, int]], values: list[Ssa]) -> list[Ssa]:
            if not walks:
                loaded = [self._load(b.gep(pointer, offset, element), lanes) for pointer in pointers]
                return [self._combine(*pair) for pair in zip(values, loaded, strict=True)]
            (extent, distance), *inner = walks

            def step(i: Index, sums: list[Ssa]) -> list[Ssa]:
                return walk(b.add(offset, b.mul(i, distance)), inner, sums)

            def rounds() -> list[Ssa]:
                return b.loop(0, extent, 1, step, values)

            if isinstance(extent, int) or not plan.may_miss:
                return rounds()
            return b.branch(b.less(0, extent), rounds, lambda: values)

        return walk(0, walks, [constant(self._neutral, plan.type)] * len(pointers))

    def scale(self, places: Sequence[Index]) -> Ssa | None:
        """What the sums of this row are multiplied by for their mean, but for what varies along the row."""
        b, plan = self.b, self.plan
        if isinstance(plan.op, MaxPool):
            return None
        known, counts = 1, []
        for axis, place in zip(plan.axes, (*places, 0), strict=True):
            if len(set(axis.divisors)) == 1:
                known *= axis.divisors[0]
            elif axis is not plan.across:
                start = b.sub(b.mul(place, axis.step), axis.before)
                first, last = self._bounds(axis, start, *axis.counted)
                counts.append(_larger(b, b.sub(last, first), 1))
        if not counts:
            return constant(1 / known, plan.type)
        total: Index = known
        for count in counts:
            total = b.mul(total, count)
        return b.splat(self._share(total), plan.type.lanes)

    def slide(self, output: Output, origin: Sequence[Index], scale: Ssa | None) -> None:
        """Combines the columns under each window along the row, and stores what comes out."""
        b, plan, across = self.b, self.plan, self.plan.across
        width = 1 if plan.block else plan.type.lanes  # windows in a vector
        lane: tuple[int, ...] = (0,) if plan.block else ()

        def windows(x: Index, vectors: int, lanes: int) -> None:
            tile = output.tile((*origin, x, *lane))
            first = b.gep(self.scratch, b.mul(x, across.step * plan.column), plan.type.scalar)
            starts = [i * width * across.step for i in range(vectors)]
            combined = self._looped if across.kernel > _UNROLLED else self._written_out
            for i, value in enumerate(combined(first, starts)):
                if scale is not None:
                    value = self._mean(value, scale, b.add(x, i * width))
                result = narrow(b, value, plan.image.element)
                tile.finish(result, (0,) * len(origin) + (i * width, *lane), lanes)

        together, whole = _TOGETHER * width, across.count // width * width
        grouped = whole // together * together
        b.loop(0, grouped, together, lambda x, _: windows(x, _TOGETHER, plan.type.lanes))
        if whole > grouped:
            windows(grouped, (whole - grouped) // width, plan.type.lanes)
        if across.count > whole:
            windows(whole, 1, across.count - whole)

    def _written_out(self, first: Ssa, starts: Sequence[int]) -> list[Ssa]:
        """What lies under windows that start so many columns after ``first``; a column is loaded once for all."""
        plan, across = self.plan, self.plan.across
        taps = [tap * across.dilation for tap in range(across.kernel)]
        distances = dict.fromkeys(start + tap for start in starts for tap in taps)
        columns = {distance: self._spread(first, distance * plan.column) for distance in distances}
        return [reduce(self._combine, (columns[start + tap] for tap in taps)) for start in starts]

    def _looped(self, first: Ssa, starts: Sequence[int]) -> list[Ssa]:
        """The same, tap after tap."""
        b, plan, across = self.b, self.plan, self.plan.across
        pointers = [b.gep(first, start * plan.column, plan.type.scalar) for start in starts]

        def tap(number: Index, values: list[Ssa]) -> list[Ssa]:
            offset = b.mul(number, across.dilation * plan.column)
            loaded = [self._spread(pointer, offset) for pointer in pointers]
            return [self._combine(*pair) for pair in zip(values, loaded, strict=True)]

        return b.loop(1, across.kernel, 1, tap, [self._spread(pointer, 0) for pointer in pointers])

    def _spread(self, first: Ssa, offset: Index) -> Ssa:
        """A block; or an element of each of the windows that lie in a vector."""
        b, type = self.b, self.plan.type
        step = 1 if self.plan.block else self.plan.across.step
        pointer = b.gep(first, offset, type.scalar)
        if step == 1:
            return b.load(pointer, type)
        if step == 2:
            lower, upper = b.load(pointer, type), b.load(b.gep(pointer, type.lanes, type.scalar), type)
            return b.shuffle(lower, upper, range(0, 2 * type.lanes, 2))
        value = zero(type)
        for lane in range(type.lanes):
            value = b.insert(value, b.load(b.gep(pointer, lane * step, type.scalar), type.scalar), lane)
        return value

    def _mean(self, total: Ssa, scale: Ssa, x: Index) -> Ssa:
        b, plan = self.b, self.plan
        if plan.scratch > plan.row:
            place = b.gep(self.scratch, b.add(x, plan.row), plan.type.scalar)
            if plan.block:
                along = b.splat(b.load(place, plan.type.scalar), plan.type.lanes)
            else:
                along = b.load(place, plan.type)
            scale = b.op("fmul", scale, along)
        return b.op("fmul", total, scale)

    def _bounds(self, axis: Axis, start: Index, first: int, end: int) -> tuple[Index, Index]:
        """``Axis.between`` for a window that starts at ``start``."""
        b = self.b

        def taps(distance: Index) -> Index:
            return b.smaller(b.div(_larger(b, b.add(distance, axis.dilation - 1), 0), axis.dilation), axis.kernel)

        return taps(b.sub(first, start)), taps(b.sub(end, start))

    @property
    def _neutral(self) -> float:
        return neutral(self.plan.reduction, self.plan.image.kind)

    def _combine(self, lhs: Ssa, rhs: Ssa) -> Ssa:
        return COMBINE[type(self.plan.reduction)](self.plan.image.kind)(self.b, lhs, rhs)

    def _load(self, pointer: Ssa, lanes: int) -> Ssa:
        view = self.plan.image if self.plan.block else replace(self.plan.image, strides=(self.plan.across.stride,))
        return widen(self.b, load_vector(self.b, view, pointer, self.plan.type.lanes, lanes), self.plan.type.scalar)

    def _fill(self, start: int, end: int, value: Ssa) -> None:
        """The scratch from element ``start`` up to ``end``."""
        b, lanes = self.b, value.type.lanes
        whole = start + (end - start) // lanes * lanes
        b.loop(start, whole, lanes, lambda at, _: self._store(value, at))
        if whole < end:
            b.store_first(value, b.gep(self.scratch, whole, value.type.scalar), end - whole)

    def _store(self, value: Ssa, at: Index) -> None:
        self.b.store(value, self.b.gep(self.scratch, at, value.type.scalar))


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Rising numbers as ranges, each with its start and its end."""
    starts = [n for before, n in zip((None, *numbers), numbers, strict=False) if before is None or n > before + 1]
    ends = [n + 1 for n, after in zip(numbers, (*numbers[1:], None), strict=True) if after is None or after > n + 1]
    return list(zip(starts, ends, strict=True))


def _unravel(b: Builder, number: Index, extents: Sequence[int]) -> list[Index]:
    """The index along each dimension of element ``number``."""
    places: list[Index] = []
    for extent in reversed(extents):
        places.insert(0, b.rem(number, extent))
        number = b.div(number, extent)
    return places


def _larger(b: Builder, a: Index, least: int) -> Index:
    if isinstance(a, int):
        return max(a, least)
    return b.intrinsic("smax", a, index(least))
