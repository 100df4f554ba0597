"""Control flow as native code: what calls the regions of an instruction.

A region is run as the program itself is, and takes a table of pointers likewise. Every thread has a table of its own on
its stack and decides by what it reads from memory, after the barrier at which what it reads was complete: so all
decide alike, and none waits for another to be told. Nothing is copied between iterations: what one carries on to the
next is written to one of two places and read from the other, or written over where that is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from glowpy_backends.cpu.builder import I1, I8, I64, PTR, VOID, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.context import Slot
from glowpy_backends.cpu.threadcode import BARRIER
from glowpy_ir.errors import InvalidIR
from glowpy_ir.ops.control import If, Loop
from glowpy_ir.program import Compute, Program
from glowpy_ir.structured import Structured
from glowpy_ir.workspace import carried_in_place

RUN_PROGRAM = "run_program"
"""The function that runs a program: ``void (ptr program, ptr table, ptr scratch, i64 thread, i64 threads)``."""


@dataclass(frozen=True)
class Crew:
    """Where the code of an instruction finds itself: what its program was called with."""

    context: Ssa
    scratch: Ssa
    """This thread's own."""
    thread: Ssa
    threads: Ssa


def run(b: Builder, program: Ssa, crew: Crew) -> None:
    """Call the program with the crew's table of pointers."""
    b.call(RUN_PROGRAM, [program, crew.context, crew.scratch, crew.thread, crew.threads])


@dataclass(frozen=True)
class Callee:
    """A region, and where its program is."""

    program: Program
    address: Ssa

    def table(self, b: Builder, crew: Crew, arena: Ssa) -> Ssa:
        """A table of pointers for calls of the region, where those of inputs and outputs are still missing."""
        table = b.local(Slot.FIRST_IO + len(self.program.inputs) + len(self.program.outputs), PTR)
        for slot in (Slot.WEIGHTS, Slot.SCRATCH, Slot.BARRIER):
            b.store(b.load(b.gep(crew.context, slot, PTR), PTR), b.gep(table, slot, PTR))
        b.store(arena, b.gep(table, Slot.ARENA, PTR))
        return table

    def fill(self, b: Builder, table: Ssa, first: int, pointers: Sequence[Ssa]) -> None:
        """Put pointers into the table: inputs are counted from 0, outputs go on behind them."""
        for i, pointer in enumerate(pointers, start=Slot.FIRST_IO + first):
            b.store(pointer, b.gep(table, i, PTR))

    def call(self, b: Builder, table: Ssa, crew: Crew) -> None:
        run(b, self.address, replace(crew, context=table))


def emit_control(
    b: Builder, instruction: Compute, programs: Sequence[Ssa], pointers: Sequence[Ssa], crew: Crew
) -> None:
    """The code of an instruction whose regions are these programs.

    ``pointers`` are those of its results, inputs and workspace. Results are complete at the barrier after it. The code
    depends on the operator, on what the regions take and give and what they may carry in place, and on nothing else.
    """
    callees = [Callee(program, address) for program, address in zip(instruction.regions, programs, strict=True)]
    given = iter(pointers)
    rows = (instruction.outputs, instruction.inputs, instruction.workspace)
    results, inputs, workspace = ([next(given) for _ in buffers] for buffers in rows)
    match instruction.op:
        case If():
            _branch(b, callees, results, inputs, workspace[0], crew)
        case Loop() as loop:
            _Loop(b, loop, callees[0], results, inputs, workspace, crew, in_place_of(instruction)).run()
        case op:
            raise InvalidIR(f"no code for {op.name}").at(instruction.origin)


def in_place_of(instruction: Compute) -> frozenset[int]:
    """The numbers of the carried tensors of a loop that need one place only."""
    assert isinstance(instruction.op, Structured)
    return carried_in_place(instruction.op, instruction.regions)


def _is_true(b: Builder, place: Ssa) -> Ssa:
    return b.compare("ne", b.load(place, I8), constant(0, I8))


def _branch(
    b: Builder, callees: Sequence[Callee], results: Sequence[Ssa], inputs: Sequence[Ssa], arena: Ssa, crew: Crew
) -> None:
    condition, *captures = inputs

    def call(callee: Callee) -> None:
        table = callee.table(b, crew, arena)
        callee.fill(b, table, 0, [*captures, *results])
        callee.call(b, table, crew)

    then, otherwise = callees
    b.branch(_is_true(b, condition), lambda: call(then), lambda: call(otherwise))


@dataclass
class _Loop:
    """A loop; its first and its last iteration are like all others."""

    b: Builder
    op: Loop
    body: Callee
    results: Sequence[Ssa]
    inputs: Sequence[Ssa]
    workspace: Sequence[Ssa]
    crew: Crew
    in_place: Collection[int]

    def run(self) -> None:
        b, carried = self.b, self.op.carried
        trips, condition, *operands = self.inputs
        limit = b.intrinsic("smax", b.load(trips, I64), constant(0, I64))
        if self.op.bound is not None:
            limit = b.intrinsic("smin", limit, constant(self.op.extent, I64))
        begins = b.op("and", b.compare("sgt", limit, constant(0, I64)), _is_true(b, condition))
        table = self.body.table(b, self.crew, self.workspace[0])
        self.body.fill(b, table, 1 + carried, operands[carried:])
        for k in self.in_place:
            self._bring_home(operands[k], self.results[k], self.body.program.inputs[1 + k].type.nbytes)
        if self.in_place:
            b.call(BARRIER, [b.load(b.gep(self.crew.context, Slot.BARRIER, PTR), PTR), self.crew.threads])
        first = [self.results[k] if k in self.in_place else operands[k] for k in range(carried)]
        initial = [constant(0, I64), *first]
        done, *last = b.branch(begins, lambda: self._iterate(table, limit, initial), lambda: initial)
        for k, pointer in enumerate(last):
            self._bring_home(pointer, self.results[k], self.body.program.inputs[1 + k].type.nbytes)
        self._clear_rest(done)
        self._by_first(lambda: b.store(done, self.results[-1]))

    def _iterate(self, table: Ssa, limit: Ssa, initial: Sequence[Ssa]) -> list[Ssa]:
        """All iterations; gives their number, and where what was carried is at last.

        What is carried is written to the result and to its twin, if it has one, in turns, such that the last of all
        possible iterations writes to the result.
        """
        b, carried = self.b, self.op.carried
        apart = [k for k in range(carried) if k not in self.in_place]
        twins = dict(zip(apart, self.workspace[1:], strict=False))
        number = b.local(1, I64)
        self.body.fill(b, table, 0, [number])

        def iteration(state: list[Ssa]) -> tuple[Ssa, Sequence[Ssa]]:
            done, *now = state
            left = b.op("sub", limit, done)
            is_home = b.cast("trunc", left, I1)
            homes = enumerate(self.results[:carried])
            following = [b.select(is_home, home, twins[k]) if k in twins else home for k, home in homes]
            conditions = [b.gep(w, b.op("and", done, constant(1, I64)), I8) for w in self.workspace[1 + len(twins) :]]
            stacked = [b.gep(stack, b.mul(done, row), I8) for stack, row in self._stacks()]
            b.store(done, number)
            self.body.fill(b, table, 1, now)
            self.body.fill(b, table, len(self.body.program.inputs), [*conditions, *following, *stacked])
            self.body.call(b, table, self.crew)
            done = index(b.add(done, 1))
            more = b.compare("slt", done, limit)
            for condition in conditions:  # one, if any
                more = b.op("and", more, _is_true(b, condition))
            return more, [done, *following]

        return b.repeat(iteration, initial)

    def _stacks(self) -> Iterator[tuple[Ssa, int]]:
        """Where elements are stacked, and how many bytes one has."""
        _, scanned = self.op.parts(self.body.program.outputs)
        for pointer, element in zip(self.results[self.op.carried : -1], scanned, strict=True):
            yield pointer, element.type.nbytes

    def _bring_home(self, source: Ssa, target: Ssa, size: int) -> None:
        """Copy what came to lie elsewhere: the loop ended early, or never began. Each thread has its share."""
        b = self.b
        begin, end = (b.div(b.mul(size, t), self.crew.threads) for t in (self.crew.thread, b.add(self.crew.thread, 1)))

        def copy() -> None:
            b.declare("llvm.memcpy.p0.p0.i64", VOID, [PTR, PTR, I64, I1])
            places = [b.gep(pointer, begin, I8) for pointer in (target, source)]
            b.call("llvm.memcpy.p0.p0.i64", [*places, index(b.sub(end, begin)), constant(0, I1)])

        b.branch(b.compare("ne", source, target), copy)

    def _clear_rest(self, done: Ssa) -> None:
        """Zeros where elements of further iterations would be stacked."""
        b = self.b
        stacks = list(self._stacks())

        def clear() -> None:
            b.declare("llvm.memset.p0.i64", VOID, [PTR, I8, I64, I1])
            for stack, row in stacks:
                size: Index = b.mul(b.sub(self.op.extent, done), row)
                rest = b.gep(stack, b.mul(done, row), I8)
                b.call("llvm.memset.p0.i64", [rest, constant(0, I8), index(size), constant(0, I1)])

        if stacks:
            is_short = b.compare("slt", done, constant(self.op.extent, I64))
            b.branch(is_short, lambda: self._by_first(clear))

    def _by_first(self, work: Callable[[], None]) -> None:
        """Let the first thread alone do this."""
        self.b.branch(self.b.compare("eq", self.crew.thread, constant(0, I64)), work)
