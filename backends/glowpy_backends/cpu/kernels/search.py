"""Where the largest or the smallest element stands along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glowpy_backends.cpu.builder import BF16, F16, F32, I32, I64, Builder, Index, Ssa, Type, constant, index
from glowpy_backends.cpu.epilogue import load_vector
from glowpy_backends.cpu.halves import widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.elementwise import store_vector
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.reduction import ArgMax, ArgMin, Search


def search(op: ArgMax | ArgMin, result: View, operand: View, target: Target) -> Kernel:
    """``result`` is where along ``op.axis`` the element of ``operand`` stands that ``op`` looks for.

    Vectors lie along the axis if its elements are neighbours and many enough, else along another dimension whose
    elements are neighbours. Units are the results, or vectors of them.
    """
    if not op.keepdims:
        result = View(result.kind, _with(result.shape, op.axis, 1), _with(result.strides, op.axis, 0))
    contest = _Contest.of(op, operand.kind.is_signed, _compute_type(operand.element))
    lanes = target.lanes(contest.type.element_bytes)
    extent = operand.shape[op.axis]
    along = operand.strides[op.axis] == 1 and extent >= lanes
    dims = [d for d in range(len(operand.shape)) if d != op.axis]
    inner = [d for d in dims if operand.strides[d] == 1 and operand.shape[d] > 1][-1:] if not along else []
    outer = [d for d in dims if d not in inner]
    width = operand.shape[inner[0]] if inner else 1
    vectors = -(-width // lanes) if inner else 1
    units = math.prod(operand.shape[d] for d in outer) * vectors

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands
        number, vector = b.div(call.unit, vectors), b.rem(call.unit, vectors)
        for d in reversed(outer):
            place, number = b.rem(number, operand.shape[d]), b.div(number, operand.shape[d])
            source = b.gep(source, b.mul(place, operand.strides[d]), operand.element)
            into = b.gep(into, b.mul(place, result.strides[d]), result.element)
        row = _Row(b, contest, operand, source, operand.strides[op.axis], extent)
        if along:
            b.store(b.cast("sext", row.along(lanes), I64), into)
            return
        if not inner:
            b.store(b.cast("sext", row.across(contest.type, 0, 0), I64), into)
            return

        def group(x: Index, count: int) -> None:
            found = row.across(contest.type.vector(lanes), x, count)
            line = View(result.kind, (width,), (result.strides[inner[0]],))
            place = b.gep(into, b.mul(x, line.strides[0]), result.element)
            store_vector(b, line, place, b.cast("sext", found, I64.vector(lanes)), count)

        whole = width // lanes
        start = b.mul(vector, lanes)
        if whole == vectors:
            group(start, lanes)
        else:
            rest = width - whole * lanes
            b.branch(b.less(vector, whole), lambda: group(start, lanes), lambda: group(whole * lanes, rest))

    return define_kernel("search", target, 2, units, 0, unit)


def _with(entries: tuple[int, ...], at: int, entry: int) -> tuple[int, ...]:
    return (*entries[:at], entry, *entries[at:])


def _compute_type(element: Type) -> Type:
    """What is compared: at least 32 bits wide, as wide as the numbers of places."""
    if element in (F16, BF16):
        return F32
    return I32 if element.element_bytes < 4 else element


@dataclass(frozen=True)
class _Contest:
    """Which of two elements wins."""

    type: Type
    predicate: str
    """Holds if the later of two elements wins; of floats, also if one is NaN."""
    prefers_last: bool
    signed: bool

    @classmethod
    def of(cls, op: Search, signed: bool, type: Type) -> _Contest:
        sign = "u" if type.is_float or not signed else "s"
        relation = ("g" if isinstance(op, ArgMax) else "l") + ("e" if op.select_last_index else "t")
        return cls(type, sign + relation, op.select_last_index, signed)

    @property
    def places(self) -> Type:
        """The type of places: as wide as the elements, so that masks fit."""
        return I32 if self.type.element_bytes == 4 else I64

    def later_wins(self, b: Builder, later: Ssa, best: Ssa) -> Ssa:
        """A NaN wins over every number; of several, the first or the last one."""
        wins = b.compare(self.predicate, later, best)
        if not self.type.is_float:
            return wins
        number = b.compare("ord", best, best)
        stands = b.op("or", number, b.compare("uno", later, later)) if self.prefers_last else number
        return b.op("and", wins, stands)


@dataclass(frozen=True)
class _Row:
    """The elements to choose from: ``extent`` of them, ``stride`` apart."""

    b: Builder
    contest: _Contest
    operand: View
    source: Ssa
    stride: int
    extent: int

    def across(self, type: Type, x: Index, count: int) -> Ssa:
        """The place of the winner for ``count`` elements that are neighbours at ``x``, or (scalar) for one."""
        b = self.b
        places = self.contest.places.vector(type.lanes)

        def step(i: Index, best: list[Ssa]) -> list[Ssa]:
            later = self._load(b.add(b.mul(i, self.stride), x), type, count)
            place = b.cast("trunc", index(i), self.contest.places)
            return self._winner([later, b.splat(place, type.lanes) if type.lanes else place], best)

        return b.loop(1, self.extent, 1, step, [self._load(x, type, count), constant(0, places)])[1]

    def along(self, lanes: int) -> Ssa:
        """The place of the winner; each lane looks at its share, and then the lanes are compared."""
        b, type = self.b, self.contest.type.vector(lanes)
        places = self.contest.places.vector(lanes)
        numbers = ", ".join(f"{places.scalar} {lane}" for lane in range(lanes))
        first = Ssa(f"<{numbers}>", places)

        def step(i: Index, best: list[Ssa]) -> list[Ssa]:
            place = b.splat(b.cast("trunc", index(i), places.scalar), lanes)
            return self._winner([self._load(i, type, lanes), b.op("add", place, first)], best)

        best = b.loop(lanes, self.extent - lanes + 1, lanes, step, [self._load(0, type, lanes), first])
        if self.extent % lanes:  # the last vector overlaps the one before
            best = step(self.extent - lanes, best)
        values, found = best
        champion = [b.lane(values, 0), b.lane(found, 0)]
        for lane in range(1, lanes):
            champion = self._champion([b.lane(values, lane), b.lane(found, lane)], champion)
        return champion[1]

    def _winner(self, later: list[Ssa], best: list[Ssa]) -> list[Ssa]:
        wins = self.contest.later_wins(self.b, later[0], best[0])
        return [self.b.select(wins, *pair) for pair in zip(later, best, strict=True)]

    def _champion(self, one: list[Ssa], other: list[Ssa]) -> list[Ssa]:
        """The winner of two whose order is not known: as if the one with the smaller place came first."""
        b = self.b
        is_later = b.compare("sgt", one[1], other[1])
        later = [b.select(is_later, *pair) for pair in zip(one, other, strict=True)]
        earlier = [b.select(is_later, *pair) for pair in zip(other, one, strict=True)]
        return self._winner(later, earlier)

    def _load(self, offset: Index, type: Type, count: int) -> Ssa:
        b, view = self.b, self.operand
        pointer = b.gep(self.source, offset, view.element)
        if type.lanes:
            value = load_vector(b, View(view.kind, (count,), (1,)), pointer, type.lanes, count)
        else:
            value = b.load(pointer, view.element)
        if type.is_float:
            return widen(b, value, type.scalar)
        return b.cast("sext" if self.contest.signed else "zext", value, type)
