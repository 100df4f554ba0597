"""Reductions over any dimensions: sums, products, extrema."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from glowpy_backends.cpu.builder import BF16, F16, F32, Builder, Index, Ssa, Type, constant
from glowpy_backends.cpu.epilogue import Epilogue, Output, load_vector
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.reduction import ReduceMax, ReduceMin, ReduceProd, ReduceSum, Reduction, bounds
from glowpy_ir.types import Kind

_CHAINS = 4
"""Partial results side by side, which hide the latency of the operation."""

Combine = Callable[[Builder, Ssa, Ssa], Ssa]


def _arithmetic(floating: str, integer: str) -> Callable[[Kind], Combine]:
    def of(kind: Kind) -> Combine:
        name = floating if kind.is_float else integer
        return lambda b, lhs, rhs: b.op(name, lhs, rhs)

    return of


def _extremum(floating: str, integer: str) -> Callable[[Kind], Combine]:
    """The larger or the smaller one; NaN if one is."""

    def of(kind: Kind) -> Combine:
        def combine(b: Builder, lhs: Ssa, rhs: Ssa) -> Ssa:
            if not kind.is_float:
                sign = "s" if kind.is_signed else "u"
                return b.select(b.compare(sign + integer, lhs, rhs), lhs, rhs)
            chosen = b.select(b.compare(floating, lhs, rhs), lhs, rhs)
            return b.select(b.compare("uno", lhs, lhs), lhs, chosen)

        return combine

    return of


COMBINE: Mapping[type[Reduction], Callable[[Kind], Combine]] = {
    ReduceSum: _arithmetic("fadd", "add"),
    ReduceProd: _arithmetic("fmul", "mul"),
    ReduceMax: _extremum("ogt", "gt"),
    ReduceMin: _extremum("olt", "lt"),
}


def neutral(op: Reduction, kind: Kind) -> float:
    """What changes nothing when it is combined."""
    if isinstance(op, ReduceSum | ReduceProd):
        return float(isinstance(op, ReduceProd))
    least, most = bounds(kind)
    return least if isinstance(op, ReduceMax) else most


@dataclass(frozen=True)
class _Plan:
    """The operand and the result with the dimension of vectors last; both have all dimensions."""

    operand: View
    result: View
    epilogue: Epilogue
    reduced: tuple[bool, ...]

    @classmethod
    def of(cls, op: Reduction, result: View, operand: View, epilogue: Epilogue) -> _Plan:
        rank = len(operand.shape)
        inner = [d for d in range(rank) if operand.strides[d] == 1 and operand.shape[d] > 1] or [rank - 1]
        order = [*(d for d in range(rank) if d != inner[-1]), inner[-1]]

        def turned(view: View) -> View:
            if not op.keepdims:
                view = _insert(view, op.axes, rank)
            return View(view.kind, tuple(view.shape[d] for d in order), tuple(view.strides[d] for d in order))

        views = tuple(map(turned, epilogue.operands))
        whole = View(operand.kind, tuple(operand.shape[d] for d in order), tuple(operand.strides[d] for d in order))
        return cls(whole, turned(result), replace(epilogue, operands=views), tuple(d in op.axes for d in order))

    @property
    def kept(self) -> list[int]:
        """The kept dimensions that vectors do not lie along."""
        return [d for d, reduced in enumerate(self.reduced[:-1]) if not reduced]

    @property
    def walk(self) -> list[tuple[int, int]]:
        """(extent, stride) of the reduced dimensions that vectors do not lie along, merged where that is possible."""
        steps: list[tuple[int, int]] = []
        for d, reduced in enumerate(self.reduced[:-1]):
            n, stride = self.operand.shape[d], self.operand.strides[d]
            if not reduced or n == 1:
                continue
            if steps and steps[-1][1] == n * stride:
                steps[-1] = (steps[-1][0] * n, stride)
            else:
                steps.append((n, stride))
        return steps


def _insert(view: View, axes: Sequence[int], rank: int) -> View:
    """The view with a dimension of one at each of the axes."""
    shape, strides = list(view.shape), list(view.strides)
    for axis in sorted(axes):
        shape.insert(axis, 1)
        strides.insert(axis, 0)
    assert len(shape) == rank
    return View(view.kind, tuple(shape), tuple(strides))


def reduction(op: Reduction, result: View, operand: View, epilogue: Epilogue, target: Target) -> Kernel:
    """The elements of ``operand`` along ``op.axes`` combined; its units are the results, or vectors of them.

    Floats of 16 bits are combined in float32.
    """
    plan = _Plan.of(op, result, operand, epilogue)
    element = F32 if operand.element in (F16, BF16) else operand.element
    type = element.vector(target.lanes(element.element_bytes))
    combine = COMBINE[op.__class__](operand.kind)
    nothing = constant(neutral(op, operand.kind), type)
    width = plan.operand.shape[-1]
    vectors = 1 if plan.reduced[-1] else -(-width // type.lanes)
    units = math.prod(plan.operand.shape[d] for d in plan.kept) * vectors

    def unit(b: Builder, call: Call) -> None:
        result_pointer, source, *extra = call.operands
        output = Output(b, plan.result, result_pointer, plan.epilogue, extra, type.lanes)
        origin, offset = _origin(b, plan, b.div(call.unit, vectors))
        sums = _Sums(b, plan, combine, nothing, source)

        def finish(value: Ssa, x: Index, count: int) -> None:
            narrowed = narrow(b, value, operand.element)
            output.tile((*origin, x)).finish(narrowed, (0,) * len(plan.reduced), count)

        def group(x: Index, count: int) -> None:
            place = b.add(offset, b.mul(x, plan.operand.strides[-1]))
            finish(sums.over_walk(place, plan.walk, count), x, count)

        if plan.reduced[-1]:
            finish(combine_lanes(b, combine, sums.over_row(offset, width)), 0, 1)
            return
        number = b.rem(call.unit, vectors)
        whole = width // type.lanes
        if whole == vectors:
            group(b.mul(number, type.lanes), type.lanes)
        else:
            b.branch(
                b.less(number, whole),
                lambda: group(b.mul(number, type.lanes), type.lanes),
                lambda: group(whole * type.lanes, width - whole * type.lanes),
            )

    return define_kernel("reduce", target, 2 + len(epilogue.views), units, 0, unit)


def _origin(b: Builder, plan: _Plan, number: Index) -> tuple[list[Index], Index]:
    """The index of a result but for its last dimension, and where the elements begin that it is made of."""
    origin: list[Index] = [0] * (len(plan.reduced) - 1)
    offset: Index = 0
    for d in reversed(plan.kept):
        extent = plan.operand.shape[d]
        origin[d] = b.rem(number, extent)
        number = b.div(number, extent)
        offset = b.add(offset, b.mul(origin[d], plan.operand.strides[d]))
    return origin, offset


@dataclass(frozen=True)
class _Sums:
    """Combines vectors of the operand, whose first element is at ``source``."""

    b: Builder
    plan: _Plan
    combine: Combine
    neutral: Ssa
    source: Ssa

    def load(self, place: Index, count: int) -> Ssa:
        """``count`` elements; the other lanes change nothing."""
        b, view = self.b, self.plan.operand
        type: Type = self.neutral.type
        value = load_vector(b, view, b.gep(self.source, place, view.element), type.lanes, count)
        value = widen(b, value, type.scalar)
        if count == type.lanes:
            return value
        spare = [lane if lane < count else type.lanes for lane in range(type.lanes)]
        return b.shuffle(value, self.neutral, spare)

    def over_walk(self, place: Index, walk: Sequence[tuple[int, int]], count: int) -> Ssa:
        """All vectors that the walk visits from ``place`` on."""
        if not walk:
            return self.load(place, count)
        (extent, stride), *inner = walk
        if inner:
            return self.b.loop(
                0, extent, 1,
                lambda i, sums: [self.combine(self.b, sums[0],
                                              self.over_walk(self.b.add(place, self.b.mul(i, stride)), inner, count))],
                [self.neutral],
            )[0]  # fmt: skip
        return self._chains(place, extent, stride, count)

    def over_row(self, place: Index, width: int) -> Ssa:
        """All rows that the walk visits, as one vector."""

        def rows(at: Index, walk: Sequence[tuple[int, int]]) -> Ssa:
            if not walk:
                return self._row(at, width)
            (extent, stride), *inner = walk
            return self.b.loop(
                0, extent, 1,
                lambda i, sums: [self.combine(self.b, sums[0], rows(self.b.add(at, self.b.mul(i, stride)), inner))],
                [self.neutral],
            )[0]  # fmt: skip

        return rows(place, self.plan.walk)

    def _row(self, place: Index, width: int) -> Ssa:
        lanes, stride = self.neutral.type.lanes, self.plan.operand.strides[-1]
        value = self._chains(place, width // lanes, lanes * stride, lanes)
        if width % lanes:
            rest = self.load(self.b.add(place, width // lanes * lanes * stride), width % lanes)
            value = self.combine(self.b, value, rest)
        return value

    def _chains(self, place: Index, extent: int, stride: int, count: int) -> Ssa:
        """``extent`` vectors, ``stride`` apart."""
        b = self.b

        def step(i: Index, sums: list[Ssa]) -> list[Ssa]:
            at = b.add(place, b.mul(i, stride))
            return [self.combine(b, s, self.load(b.add(at, n * stride), count)) for n, s in enumerate(sums)]

        together = extent - extent % _CHAINS
        sums = b.loop(0, together, _CHAINS, step, [self.neutral] * _CHAINS)
        value = sums[0]
        for other in sums[1:] if together else []:
            value = self.combine(b, value, other)
        return b.loop(together, extent, 1, step, [value])[0]


def combine_lanes(b: Builder, combine: Combine, vector: Ssa) -> Ssa:
    """All lanes combined, in every lane."""
    lanes = vector.type.lanes
    half = lanes // 2
    while half:
        upper = b.shuffle(vector, vector, [(lane + half) % lanes for lane in range(lanes)])
        vector = combine(b, vector, upper)
        half //= 2
    return vector
