"""Rows: kernels that pass over the elements along some axes several times, and make as many results of them.

A row is what lies along the axes for one place along the others. Where memory is contiguous along an axis of rows,
vectors lie in a row; else they lie across rows, and each lane has a row of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from glowpy_backends.cpu.body import enter, leave
from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type, constant
from glowpy_backends.cpu.conversion import REGISTERS
from glowpy_backends.cpu.epilogue import Epilogue, Output, load_vector
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.reduction import Combine, combine_lanes
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View

_CHAINS = 4
"""Partial results side by side, which hide the latency of combining."""

Compute = Callable[[Builder, "Row"], None]


@dataclass(frozen=True)
class Plan:
    """The views with the dimension of vectors last, neighbours merged, and which dimensions rows lie along."""

    operand: View
    result: View
    epilogue: Epilogue
    in_row: tuple[bool, ...]

    @classmethod
    def of(cls, axes: Sequence[int], result: View, operand: View, epilogue: Epilogue) -> Plan:
        rank = len(operand.shape)
        inner = [d for d in range(rank) if operand.strides[d] == 1 and operand.shape[d] > 1] or [rank - 1]
        order = [*(d for d in range(rank) if d != inner[-1]), inner[-1]] if rank else []
        views = [operand, result, *epilogue.operands]
        merged: list[list[int]] = []
        for d in order:
            if merged and _continue(views, merged[-1][-1], d) and (merged[-1][-1] in axes) == (d in axes):
                merged[-1].append(d)
            else:
                merged.append([d])

        def turned(view: View) -> View:
            shape = tuple(math.prod(view.shape[d] for d in group) for group in merged)
            return View(view.kind, shape or (1,), tuple(view.strides[group[-1]] for group in merged) or (1,))

        operands = tuple(map(turned, epilogue.operands))
        in_row = tuple(group[0] in axes for group in merged) or (True,)
        return cls(turned(operand), turned(result), replace(epilogue, operands=operands), in_row)

    @property
    def across(self) -> list[int]:
        """The dimensions that rows do not lie along, except that of vectors."""
        return [d for d, inside in enumerate(self.in_row[:-1]) if not inside]

    @property
    def inside(self) -> list[int]:
        """The dimensions that rows lie along."""
        return [d for d, inside in enumerate(self.in_row) if inside]

    def saved(self, lanes: int) -> tuple[list[int], int]:
        """How a row of whole vectors is saved: the distance along each dimension, and how many elements it takes."""
        steps, size = [0] * len(self.in_row), lanes
        for d in reversed(self.inside):
            extent = self.operand.shape[d]
            if d == len(self.in_row) - 1:
                steps[d], size = 1, -(-extent // lanes) * lanes
            else:
                steps[d], size = size, size * extent
        return steps, size


def _continue(views: Sequence[View], outer: int, inner: int) -> bool:
    """Whether one dimension walks on where the other ends, in all views."""
    return all(view.strides[outer] == view.strides[inner] * view.shape[inner] for view in views)


def row_kernel(
    family: str, axes: Sequence[int], result: View, operand: View, epilogue: Epilogue, target: Target, compute: Compute
) -> Kernel:
    """The kernel that does ``compute`` for each row along ``axes``; its units are rows, or vectors of rows.

    Floats of 16 bits are computed in float32.
    """
    if 0 in operand.shape:
        return define_kernel(family, target, 2 + len(epilogue.views), 0, 0, lambda b, call: None)
    plan = Plan.of(axes, result, operand, epilogue)
    type = REGISTERS[operand.kind]
    type = type.vector(target.lanes(type.element_bytes))
    lanes, width = type.lanes, plan.operand.shape[-1]
    vectors = 1 if plan.in_row[-1] else -(-width // lanes)
    units = math.prod(plan.operand.shape[d] for d in plan.across) * vectors

    def unit(b: Builder, call: Call) -> None:
        pointer, source, *extra = call.operands
        output = Output(b, plan.result, pointer, plan.epilogue, extra, lanes)
        origin: list[Index] = [0] * len(plan.in_row)
        number = b.div(call.unit, vectors)
        for d in reversed(plan.across):
            origin[d] = b.rem(number, plan.operand.shape[d])
            number = b.div(number, plan.operand.shape[d])

        def row(x: Index, count: int) -> None:
            compute(b, Row(b, plan, type, [*origin[:-1], x], count, source, output, call.scratch))

        vector, whole = b.rem(call.unit, vectors), width // lanes
        if plan.in_row[-1]:
            row(0, lanes)
        elif whole == vectors:
            row(b.mul(vector, lanes), lanes)
        else:
            b.branch(
                b.less(vector, whole),
                lambda: row(b.mul(vector, lanes), lanes),
                lambda: row(whole * lanes, width - whole * lanes),
            )

    scratch = plan.saved(lanes)[1] * type.element_bytes
    return define_kernel(family, target, 2 + len(epilogue.views), units, scratch, unit)


@dataclass(frozen=True)
class _Group:
    """Neighbouring vectors of a row: the index of the first, how many, and how many lanes of each exist."""

    at: Sequence[Index]
    size: int
    count: int


Visit = Callable[[_Group, list[Ssa]], list[Ssa]]


@dataclass(frozen=True)
class Row:
    """A row at work, or in each lane one; what is known of the whole row stands in every lane."""

    b: Builder
    plan: Plan
    type: Type
    origin: Sequence[Index]
    count: int
    """Of the lanes of vectors across rows, how many exist."""
    source: Ssa
    output: Output
    scratch: Ssa

    @property
    def length(self) -> int:
        """How many elements a row has."""
        return math.prod(self.plan.operand.shape[d] for d in self.plan.inside)

    def fold(self, combine: Combine, neutral: float, of: Callable[[Ssa], Ssa], save: bool = False) -> Ssa:
        """``of`` each element, combined; ``save`` keeps what ``of`` gave for ``finish``."""
        b, nothing = self.b, constant(neutral, self.type)

        def visit(group: _Group, chains: list[Ssa]) -> list[Ssa]:
            values = [of(value) for value in self._load(group)]
            if save:
                for k, value in enumerate(values):
                    b.store(value, self._saved(group, k))
            for k, value in enumerate(values):
                chains[k] = combine(b, chains[k], self._only(value, group.count, nothing))
            return chains

        total, *others = self._visit(visit, [nothing] * self._chains)
        for other in others:
            total = combine(b, total, other)
        return combine_lanes(b, combine, total) if self.plan.in_row[-1] else total

    def finish(self, of: Callable[[Ssa], Ssa], saved: bool = False) -> None:
        """``of`` each element, or of what was saved for it, is the result."""

        def visit(group: _Group, nothing: list[Ssa]) -> list[Ssa]:
            if saved:
                values = [self.b.load(self._saved(group, k), self.type) for k in range(group.size)]
            else:
                values = self._load(group)
            values = [leave(self.b, self.plan.operand.kind, of(value)) for value in values]
            tile = self.output.tile(group.at)
            for k, value in enumerate(values):
                tile.finish(value, self._delta(k), group.count)
            return nothing

        self._visit(visit, [])

    @property
    def _inner(self) -> int:
        """The dimension along which neighbours are visited, the last one in a row; -1 if rows are single elements."""
        return max(self.plan.inside, default=-1)

    @property
    def _step(self) -> int:
        """How far neighbouring vectors are apart along it."""
        return self.type.lanes if self._inner == len(self.plan.in_row) - 1 else 1

    @property
    def _chains(self) -> int:
        return min(_CHAINS, -(-self.plan.operand.shape[self._inner] // self._step)) if self.plan.inside else 1

    def _visit(self, visit: Visit, carried: list[Ssa]) -> list[Ssa]:
        """All vectors of the row, in groups."""
        b, shape, step = self.b, self.plan.operand.shape, self._step

        def groups(dimensions: Sequence[int], at: Sequence[Index], carried: list[Ssa]) -> list[Ssa]:
            if not dimensions:
                return visit(_Group(at, 1, self.count), carried)
            d, *inner = dimensions

            def to(i: Index) -> list[Index]:
                return [*at[:d], i, *at[d + 1 :]]

            if inner:
                return b.loop(0, shape[d], 1, lambda i, c: groups(inner, to(i), c), carried)
            several = _CHAINS * step
            grouped, whole = shape[d] // several * several, shape[d] // step * step
            carried = b.loop(0, grouped, several, lambda i, c: visit(_Group(to(i), _CHAINS, self.count), c), carried)
            if grouped < whole:
                carried = visit(_Group(to(grouped), (whole - grouped) // step, self.count), list(carried))
            if whole < shape[d]:
                carried = visit(_Group(to(whole), 1, shape[d] - whole), list(carried))
            return carried

        return groups(self.plan.inside, self.origin, carried)

    def _delta(self, k: int) -> tuple[int, ...]:
        """How far vector ``k`` of a group is from the first, by dimension."""
        return tuple(k * self._step if d == self._inner else 0 for d in range(len(self.plan.in_row)))

    def _load(self, group: _Group) -> list[Ssa]:
        b, view = self.b, self.plan.operand
        offset: Index = 0
        for i, stride in zip(group.at, view.strides, strict=True):
            offset = b.add(offset, b.mul(i, stride))
        first = b.gep(self.source, offset, view.element)
        places = [b.gep(first, view.displacement(self._delta(k)), view.element) for k in range(group.size)]
        vectors = [load_vector(b, view, place, self.type.lanes, group.count) for place in places]
        return [enter(b, view.kind, vector) for vector in vectors]

    def _saved(self, group: _Group, k: int) -> Ssa:
        """Where vector ``k`` of a group is saved."""
        b, (steps, _) = self.b, self.plan.saved(self.type.lanes)
        offset: Index = sum(i * step for i, step in zip(self._delta(k), steps, strict=True))
        for d in self.plan.inside:
            offset = b.add(offset, b.mul(group.at[d], steps[d]))
        return b.gep(self.scratch, offset, self.type.scalar)

    def _only(self, value: Ssa, count: int, nothing: Ssa) -> Ssa:
        """The value with lanes that change nothing behind the end of the row."""
        lanes = self.type.lanes
        if not self.plan.in_row[-1] or count == lanes:
            return value
        return self.b.shuffle(value, nothing, [lane if lane < count else lanes for lane in range(lanes)])
