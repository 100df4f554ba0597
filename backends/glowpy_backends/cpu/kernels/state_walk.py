"""A state that tokens, one after the other, decay, write to and read from.

Columns of a state have nothing to do with each other: a vector of them stays in scratch memory, close to the
processor, while all tokens pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.arithmetic import same
from glowpy_backends.cpu.builder import F32, Builder, Index, Ssa, Type, zero
from glowpy_backends.cpu.epilogue import load_vector
from glowpy_backends.cpu.halves import narrow, widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.attention import StateWalk

_CHAINS = 4
"""Partial sums side by side, which hide the latency of adding."""


def state_walk(op: StateWalk, results: Sequence[View], operands: Sequence[View], target: Target) -> Kernel:
    """``op`` on views as it takes and makes them; units are vectors of columns of one state."""
    key, value = operands[1:3]
    shared, depth, width = key.shape[2], key.shape[3], value.shape[3]
    lanes = target.lanes(F32.element_bytes)
    whole, blocks = width // lanes, -(-width // lanes)

    def unit(b: Builder, call: Call) -> None:
        block, number = b.rem(call.unit, blocks), b.div(call.unit, blocks)
        head, batch = b.rem(number, shared), b.div(number, shared)
        tensors = [_Tensor(b, *pair) for pair in zip((*results, *operands), call.operands, strict=True)]

        def columns(first: Index, count: int) -> None:
            walk = _Walk(b, op, tensors, call.scratch, batch, head, first, count, F32.vector(lanes))
            walk.run()

        if whole == blocks:
            columns(b.mul(block, lanes), lanes)
        elif not whole:
            columns(0, width)
        else:
            b.branch(
                b.less(block, whole),
                lambda: columns(b.mul(block, lanes), lanes),
                lambda: columns(whole * lanes, width - whole * lanes),
            )

    units = key.shape[0] * shared * blocks
    scratch = depth * lanes * F32.element_bytes
    return define_kernel("state_walk", target, len(results) + len(operands), units, scratch, unit)


@dataclass(frozen=True)
class _Tensor:
    """A view with its pointer; numbers are f32 in registers."""

    b: Builder
    view: View
    pointer: Ssa

    def number(self, *place: Index) -> Ssa:
        """One element."""
        return widen(self.b, self.b.load(self._at(place), self.view.element), F32)

    def load(self, place: Sequence[Index], count: int, type: Type) -> Ssa:
        """``count`` elements along the last dimension, as a vector."""
        return widen(self.b, load_vector(self.b, self.view, self._at(place), type.lanes, count), F32)

    def store(self, value: Ssa, place: Sequence[Index], count: int) -> None:
        """The first ``count`` lanes along the last dimension."""
        b, pointer, stride = self.b, self._at(place), self.view.strides[-1]
        narrowed = narrow(b, value, self.view.element)
        if stride == 1:
            b.store_first(narrowed, pointer, count)
            return
        for lane in range(count):
            b.store(b.lane(narrowed, lane), b.gep(pointer, lane * stride, self.view.element))

    def _at(self, place: Sequence[Index]) -> Ssa:
        offset: Index = 0
        for i, stride in zip(place, self.view.strides, strict=True):
            offset = self.b.add(offset, self.b.mul(i, stride))
        return self.b.gep(self.pointer, offset, self.view.element)


@dataclass(frozen=True)
class _Walk:
    """The columns of one state from ``first`` on, of which ``count`` exist, and all tokens."""

    b: Builder
    op: StateWalk
    tensors: Sequence[_Tensor]
    """The results, and then the operands."""
    scratch: Ssa
    batch: Index
    head: Index
    first: Index
    count: int
    type: Type

    def run(self) -> None:
        b, (_, last, _, _, _, state, *_) = self.b, self.tensors

        def enter(i: Index, _: list[Ssa]) -> None:
            b.store(state.load((self.batch, self.head, i, self.first), self.count, self.type), self._row(i))

        def leave(i: Index, _: list[Ssa]) -> None:
            last.store(b.load(self._row(i), self.type), (self.batch, self.head, i, self.first), self.count)

        b.loop(0, self._depth, 1, enter)
        b.loop(0, self.tensors[3].view.shape[1], 1, lambda t, _: self._token(t))
        b.loop(0, self._depth, 1, leave)

    @property
    def _depth(self) -> int:
        return self.tensors[3].view.shape[3]

    def _token(self, t: Index) -> None:
        b, op, (result, _, query, key, value, _, *gates) = self.b, self.op, self.tensors
        written = value.load((self.batch, t, self.head, self.first), self.count, self.type)
        group = query.view.shape[2] // key.view.shape[2]

        def key_of(i: Index) -> Ssa:
            return self._splat(key.number(self.batch, t, self.head, i))

        def decay(i: Index) -> tuple[Ssa, Ssa]:
            current = b.load(self._row(i), self.type)
            if op.decays:
                part = i if gates[0].view.shape[3] > 1 else 0
                current = b.op("fmul", current, self._splat(gates[0].number(self.batch, t, self.head, part)))
                b.store(current, self._row(i))
            return current, key_of(i)

        def read(member: Index, i: Index) -> tuple[Ssa, Ssa]:
            place = (self.batch, t, b.add(b.mul(self.head, group), member), i)
            return b.load(self._row(i), self.type), self._splat(query.number(*place))

        def write(i: Index) -> tuple[Ssa, Ssa]:
            current = b.fma(key_of(i), written, b.load(self._row(i), self.type))
            b.store(current, self._row(i))
            return current, read(0, i)[1]

        def answer(member: Index, total: Ssa) -> None:
            place = (self.batch, t, b.add(b.mul(self.head, group), member), self.first)
            result.store(b.op("fmul", total, same(op.scale, total)), place, self.count)

        if op.decays or op.corrects:
            found = self._sum(decay)
        if op.corrects:
            rate = gates[-1].number(self.batch, t, self.head if gates[-1].view.shape[2] > 1 else 0, 0)
            written = b.op("fmul", b.op("fsub", written, found), self._splat(rate))
        answer(0, self._sum(write))
        b.loop(1, group, 1, lambda member, _: answer(member, self._sum(lambda i: read(member, i))))

    def _sum(self, factors: Callable[[Index], tuple[Ssa, Ssa]]) -> Ssa:
        """The products of two factors for each row, added up."""
        b = self.b
        chains = max(n for n in range(1, _CHAINS + 1) if self._depth % n == 0)

        def some(i: Index, totals: list[Ssa]) -> list[Ssa]:
            return [b.fma(*factors(b.add(i, n)), total) for n, total in enumerate(totals)]

        total, *others = b.loop(0, self._depth, chains, some, [zero(self.type)] * chains)
        for other in others:
            total = b.op("fadd", total, other)
        return total

    def _row(self, i: Index) -> Ssa:
        return self.b.gep(self.scratch, self.b.mul(i, self.type.lanes), F32)

    def _splat(self, number: Ssa) -> Ssa:
        return self.b.splat(number, self.type.lanes)
