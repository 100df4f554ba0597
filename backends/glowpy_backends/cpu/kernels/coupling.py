"""Probabilities of classes, of those of their pairs."""

from __future__ import annotations

from collections.abc import Callable

from glowpy_backends.cpu.builder import F64, I1, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.scores import CouplePairs


def couple_pairs(op: CouplePairs, result: View, operand: View, target: Target) -> Kernel:
    """``op``, in f64. Units are rows; the quadratic form, its slopes and the probabilities lie in the scratch."""
    k = op.classes

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands
        into = b.gep(into, b.mul(call.unit, result.strides[0]), result.element)
        source = b.gep(source, b.mul(call.unit, operand.strides[0]), operand.element)
        work = _Work(b, k, call.scratch, b.gep(call.scratch, k * k, F64), b.gep(call.scratch, k * k + k, F64))

        def read(pair: Index) -> Ssa:
            value = b.load(b.gep(source, b.mul(pair, operand.strides[1]), operand.element), operand.element)
            wide = widen(b, value, F64)
            wide = b.select(b.compare("olt", wide, number(op.least)), number(op.least), wide)
            return b.select(b.compare("ogt", wide, number(1 - op.least)), number(1 - op.least), wide)

        def leave(t: Index, _: list[Ssa]) -> None:
            place = b.gep(into, b.mul(t, result.strides[1]), result.element)
            b.store(narrow(b, b.load(work.chance(t), F64), result.element), place)

        def again(_: Index, carried: list[Ssa]) -> list[Ssa]:
            return b.branch(carried[0], lambda: carried, lambda: [work.improve(op.tolerance)])

        work.begin(read)
        b.loop(0, op.rounds, 1, again, [constant(False, I1)])
        b.loop(0, k, 1, leave)

    return define_kernel("couple", target, 2, operand.shape[0], 8 * (k * k + 2 * k), unit)


def number(value: float) -> Ssa:
    return constant(value, F64)


class _Work:
    """The quadratic form ``[k, k]``, the probabilities ``[k]`` and the slopes ``[k]`` of one row."""

    def __init__(self, b: Builder, k: int, form: Ssa, chances: Ssa, slopes: Ssa) -> None:
        self.b, self.k, self._form, self._chances, self._slopes = b, k, form, chances, slopes

    def form(self, i: Index, j: Index) -> Ssa:
        return self.b.gep(self._form, self.b.add(self.b.mul(i, self.k), j), F64)

    def chance(self, t: Index) -> Ssa:
        return self.b.gep(self._chances, t, F64)

    def slope(self, t: Index) -> Ssa:
        return self.b.gep(self._slopes, t, F64)

    def begin(self, read: Callable[[Index], Ssa]) -> None:
        """Fill in the form; all classes are equally likely."""
        b, k = self.b, self.k

        def clear(t: Index, _: list[Ssa]) -> None:
            b.store(number(1 / k), self.chance(t))
            b.store(number(0), self.form(t, t))

        def row(i: Index, first: list[Ssa]) -> list[Ssa]:
            def pair(j: Index, at: list[Ssa]) -> list[Ssa]:
                wins = read(at[0])
                loses = b.op("fsub", number(1), wins)
                both = b.neg(b.op("fmul", wins, loses))
                b.store(both, self.form(i, j))
                b.store(both, self.form(j, i))
                self._add(self.form(i, i), b.op("fmul", loses, loses))
                self._add(self.form(j, j), b.op("fmul", wins, wins))
                return [b.op("add", at[0], index(1))]

            return b.loop(b.add(i, 1), k, 1, pair, first)

        b.loop(0, k, 1, clear)
        b.loop(0, k - 1, 1, row, [index(0)])

    def _add(self, place: Ssa, value: Ssa) -> None:
        self.b.store(self.b.op("fadd", self.b.load(place, F64), value), place)

    def improve(self, tolerance: float) -> Ssa:
        """One round over the classes, unless the probabilities are good enough: then true."""
        b, k = self.b, self.k

        def look(t: Index, value: list[Ssa]) -> list[Ssa]:
            def term(j: Index, total: list[Ssa]) -> list[Ssa]:
                return [b.op("fadd", total[0], b.op("fmul", b.load(self.form(t, j), F64), b.load(self.chance(j), F64)))]

            (slope,) = b.loop(0, k, 1, term, [number(0)])
            b.store(slope, self.slope(t))
            return [b.op("fadd", value[0], b.op("fmul", slope, b.load(self.chance(t), F64)))]

        def error(t: Index, worst: list[Ssa]) -> list[Ssa]:
            off = b.intrinsic("fabs", b.op("fsub", b.load(self.slope(t), F64), value))
            return [b.select(b.compare("ogt", off, worst[0]), off, worst[0])]

        (value,) = b.loop(0, k, 1, look, [number(0)])
        (worst,) = b.loop(0, k, 1, error, [number(0)])
        settled = b.compare("olt", worst, number(tolerance))

        def sweep() -> None:
            b.loop(0, k, 1, self._settle, [value])

        b.branch(settled, lambda: None, sweep)
        return settled

    def _settle(self, t: Index, value: list[Ssa]) -> list[Ssa]:
        """Let the form be least along one class, and bring the sum of all probabilities back to 1."""
        b = self.b
        slope, square = b.load(self.slope(t), F64), b.load(self.form(t, t), F64)
        step = b.op("fdiv", b.op("fsub", value[0], slope), square)
        self._add(self.chance(t), step)
        total = b.op("fadd", number(1), step)

        def scale(j: Index, _: list[Ssa]) -> None:
            moved = b.op("fadd", b.load(self.slope(j), F64), b.op("fmul", step, b.load(self.form(t, j), F64)))
            b.store(b.op("fdiv", moved, total), self.slope(j))
            b.store(b.op("fdiv", b.load(self.chance(j), F64), total), self.chance(j))

        b.loop(0, self.k, 1, scale)
        rise = b.op("fadd", b.op("fmul", step, square), b.op("fmul", number(2), slope))
        grown = b.op("fadd", value[0], b.op("fmul", step, rise))
        return [b.op("fdiv", grown, b.op("fmul", total, total))]
