"""Pooling of blocked images: first down the columns of a window, then across its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type, index
from glowpy_backends.cpu.epilogue import Epilogue, Output
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.pooling import AveragePool, MaxPool

_TOGETHER = 4
"""Columns, or results, that are computed side by side."""

_UNITS = 64
"""As many units as a kernel is cut into, about."""


@dataclass(frozen=True)
class Axis:
    """One spatial dimension: how windows lie along it."""

    extent: int
    count: int
    kernel: int
    stride: int
    before: int
    dilation: int
    counted: int
    """Where the part ends that counts for an average, from the start of the padding."""
    include_pad: bool

    def taps(self, i: int) -> range:
        """The elements under window ``i``."""
        start = i * self.stride - self.before
        return range(self.extent)[0:0] if self.extent == 0 else _clip(start, self.kernel, self.dilation, self.extent)

    def divisor(self, i: int) -> int:
        """How many taps of window ``i`` count."""
        if not self.include_pad:
            return max(1, len(self.taps(i)))
        return max(1, min(self.kernel, -(-(self.counted - i * self.stride) // self.dilation)))


def _clip(start: int, kernel: int, dilation: int, extent: int) -> range:
    skipped = max(0, -(start // dilation)) if start < 0 else 0
    last = min(kernel, -(-(extent - start) // dilation))
    return range(start + skipped * dilation, start + last * dilation, dilation)


def axes_of(op: MaxPool | AveragePool, image: View, result: View) -> tuple[Axis, Axis]:
    """Height and width."""
    overhang = (op.overhang or (0, 0)) if isinstance(op, AveragePool) else (0, 0)
    include = isinstance(op, AveragePool) and op.count_include_pad

    def axis(d: int) -> Axis:
        extent, before = image.shape[2 + d], op.before[d]
        counted = before + extent + op.after[d] - overhang[d]
        return Axis(
            extent, result.shape[2 + d], op.kernel[d], op.strides[d], before, op.dilations[d], counted, include
        )

    return axis(0), axis(1)


def pool(op: MaxPool | AveragePool, result: View, image: View, epilogue: Epilogue, target: Target) -> Kernel:
    """The largest or the mean element under each window; views ``[N, C/b, H, W, b]``.

    A row of results begins with the columns of its windows, reduced into the scratch; so a window of ``k x k`` takes
    ``2 k`` steps instead of ``k²``. Units are image x block of channels x block of rows.
    """
    batch, blocks, _, _, lanes = image.shape
    type = image.element.vector(lanes)
    down, across = axes_of(op, image, result)
    planes = batch * blocks
    row_blocks = max(1, min(down.count, _UNITS // planes))
    rows = -(-down.count // row_blocks)
    row_blocks = -(-down.count // rows)
    combine = _maximum if isinstance(op, MaxPool) else _sum

    def unit(b: Builder, call: Call) -> None:
        result_pointer, source, *extra = call.operands
        output = Output(b, result, result_pointer, epilogue, extra, lanes)
        plane, first = b.div(call.unit, row_blocks), b.mul(b.rem(call.unit, row_blocks), rows)
        number, block = b.div(plane, blocks), b.rem(plane, blocks)
        offset = b.add(b.mul(number, image.strides[0]), b.mul(block, image.strides[1]))
        columns = _Columns(b, image, b.gep(source, offset, image.element), call.scratch, type, combine, down)

        def row(y: Index, _: list[Ssa]) -> None:
            taps = columns.reduce(y, across.extent)

            def results(xs: Index, count: int, like: int) -> None:
                """``count`` windows from ``xs`` on; they lie like window ``like``."""
                tile = output.tile((number, block, y, xs, 0))
                for i in range(count):
                    window = [
                        b.load(b.gep(call.scratch, b.mul(b.add(_column(b, across, xs, like, tap), i * across.stride),
                                                         lanes), image.element), type)
                        for tap in across.taps(like)
                    ]  # fmt: skip
                    value = window[0]
                    for other in window[1:]:
                        value = combine(b, value, other)
                    if isinstance(op, AveragePool):
                        value = _mean(b, value, b.mul(taps, across.divisor(like)))
                    tile.finish(value, (0, 0, 0, i, 0), lanes)

            for start, stop in _runs(across):
                size = min(_TOGETHER, stop - start)
                whole = start + (stop - start) // size * size
                b.loop(start, whole, size, lambda x, _, size=size, start=start: results(x, size, start))  # type: ignore[misc]
                b.loop(whole, stop, 1, lambda x, _, start=start: results(x, 1, start))  # type: ignore[misc]

        b.loop(first, b.smaller(b.add(first, rows), down.count), 1, row)

    scratch = across.extent * lanes * type.element_bytes
    return define_kernel("pool", target, 2 + len(epilogue.views), planes * row_blocks, scratch, unit)


def _runs(across: Axis) -> list[tuple[int, int]]:
    """Windows next to each other that all lie alike: the whole ones, and each of those at the edges alone."""
    runs: list[tuple[int, int]] = []
    for i in range(across.count):
        whole = len(across.taps(i)) == across.kernel and across.divisor(i) == across.divisor(runs[-1][0] if runs else i)
        if runs and whole and len(across.taps(runs[-1][0])) == across.kernel:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    return runs


def _column(b: Builder, across: Axis, x: Index, like: int, tap: int) -> Index:
    """The column of a tap: that of window ``like``, moved to window ``x``."""
    return b.add(b.mul(b.sub(x, like), across.stride), tap)


@dataclass(frozen=True)
class _Columns:
    """One plane of the image, whose columns are reduced into the scratch."""

    b: Builder
    image: View
    plane: Ssa
    scratch: Ssa
    type: Type
    combine: Callable[[Builder, Ssa, Ssa], Ssa]
    down: Axis

    def reduce(self, y: Index, width: int) -> Index:
        """All columns of the windows in row ``y``; the number of taps in each that count for an average."""
        b, down = self.b, self.down
        start = b.sub(b.mul(y, down.stride), down.before)
        skipped = b.div(b.add(_not_negative(b, b.sub(0, start)), down.dilation - 1), down.dilation)
        beyond = b.div(b.add(_not_negative(b, b.sub(down.extent, start)), down.dilation - 1), down.dilation)
        last = b.smaller(beyond, down.kernel)
        top = b.add(start, b.mul(skipped, down.dilation))

        def columns(x: Index, count: int) -> None:
            at = b.add(b.mul(top, self.image.strides[2]), b.mul(x, self.image.strides[3]))
            first = [self._load(at, i) for i in range(count)]

            def tap(k: Index, values: list[Ssa]) -> list[Ssa]:
                step = b.mul(b.mul(b.sub(k, skipped), down.dilation), self.image.strides[2])
                place = b.add(at, step)
                return [self.combine(b, value, self._load(place, i)) for i, value in enumerate(values)]

            second = b.add(skipped, 1)
            values = b.branch(b.less(second, last), lambda: b.loop(second, last, 1, tap, first), lambda: first)
            for i, value in enumerate(values):
                place = b.mul(b.add(x, i), self.type.lanes)
                b.store(value, b.gep(self.scratch, place, self.type.scalar), self.type.lanes * self.type.element_bytes)

        whole = width - width % _TOGETHER
        b.loop(0, whole, _TOGETHER, lambda x, _: columns(x, _TOGETHER))
        b.loop(whole, width, 1, lambda x, _: columns(x, 1))
        if not down.include_pad:
            return b.sub(last, skipped)
        left = b.sub(down.counted, b.mul(y, down.stride))
        return b.smaller(b.div(b.add(left, down.dilation - 1), down.dilation), down.kernel)

    def _load(self, at: Index, column: int) -> Ssa:
        place = self.b.add(at, column * self.image.strides[3])
        return self.b.load(self.b.gep(self.plane, place, self.image.element), self.type)


def _not_negative(b: Builder, value: Index) -> Index:
    return b.sub(0, b.smaller(b.sub(0, value), 0))


def _maximum(b: Builder, lhs: Ssa, rhs: Ssa) -> Ssa:
    """The larger one; NaN if one is."""
    larger = b.select(b.compare("ogt", lhs, rhs), lhs, rhs)
    return b.select(b.compare("uno", lhs, lhs), lhs, larger)


def _sum(b: Builder, lhs: Ssa, rhs: Ssa) -> Ssa:
    return b.op("fadd", lhs, rhs)


def _mean(b: Builder, total: Ssa, count: Index) -> Ssa:
    divisor = b.splat(b.cast("sitofp", index(count), total.type.scalar), total.type.lanes)
    return b.op("fdiv", total, divisor)
