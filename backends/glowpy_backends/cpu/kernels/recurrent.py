"""Recurrences: all steps of a sequence in one kernel, products of the state and what units make of them fused.

Hidden units lie side by side in vectors. A panel of weights holds some vectors of units with all their gates, so that
one register tile ends with everything that these units need for their next state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from glowpy_backends.cpu.arithmetic import maximum, minimum
from glowpy_backends.cpu.builder import I32, I64, Builder, Index, Ssa, Type, index, zero
from glowpy_backends.cpu.epilogue import load_vector
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.reduction import combine_lanes
from glowpy_backends.cpu.microkernel import Reduction, RegisterTile, accumulate
from glowpy_backends.cpu.registers import OnRegisters, Register
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import split, tile_rows
from glowpy_backends.cpu.view import View
from glowpy_ir.infer import OnTypes
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.recurrent import Cell, Given, Recurrence, scale_and_zero, steps_of, stored_as
from glowpy_ir.types import Kind, TensorType

_SUMS = 4
"""Sums of a row side by side, which hide the latency of a multiplication."""
_TILES = 2
"""Register tiles of sequences that share a panel of weights, if these do not stay in the cache from step to step."""
_RESIDENT = 1 << 19
"""Bytes of weights that do."""


def panel_vectors(gates: int, hidden: int, lanes: int) -> int:
    """How many vectors of hidden units make a panel: enough sums side by side, and little that is empty."""
    vectors = -(-hidden // lanes)
    return min(range(1, max(1, _SUMS // gates) + 1), key=lambda n: -(-vectors // n) * max(_SUMS, n * gates))


def recurrence(op: Recurrence, results: Sequence[View], operands: Sequence[View], target: Target) -> Kernel:
    """The kernel; units are blocks of sequences.

    Its operands are those of ``op``, but for each stage of the cell packed weights
    ``[panels, H, vectors, gates, lanes, 1]``; or, if they are quantized, ``[panels, H / 2, vectors, gates, lanes, 2]``
    of i16, or ``[panels, H / 4, vectors, gates, lanes, 4]`` of i8 and then the sums of their columns. What these are
    multiplied by is quantized for all sequences at once, so that there is one unit.
    """
    return _Emitter(op, tuple(results), tuple(operands), target).kernel()


@dataclass(frozen=True)
class _Stage:
    """One stage of a cell: the numbers of its gates, and how its panels of weights lie."""

    number: int
    gates: tuple[int, ...]
    vectors: int
    weights: View

    @property
    def walk(self) -> Reduction:
        """How a panel is passed over: by hidden units that are multiplied, or by pairs of them."""
        _, lines, vectors, gates, lanes, _ = self.weights.shape
        return Reduction(lines, 1, vectors * gates * lanes)


@dataclass(frozen=True)
class _Step:
    """A step at work: for ``rows`` sequences from the one at ``first`` on."""

    call: Call
    rows: int
    first: Index
    time: Index
    """Where in the sequences it stands."""
    backward: Index
    """1 if panels are visited last to first: what a cache holds of the weights is the end of the last visit."""
    current: Ssa
    """What is multiplied, ``[rows, padded]``."""
    following: Ssa
    """What is multiplied in the next stage."""
    slots: list[Ssa]
    """The units' other values, each ``[rows, padded]``."""
    quantized: Ssa
    """What is multiplied as integers, if weights are quantized: ``[rows, padded]`` of i16 or u8."""


@dataclass(frozen=True)
class _Scale:
    """How what is multiplied is quantized; in every lane."""

    step: Ssa
    zero: Ssa
    """What is stored for zero, i32."""


@dataclass(frozen=True)
class _Emitter:
    op: Recurrence
    results: tuple[View, ...]
    operands: tuple[View, ...]
    target: Target

    @property
    def cell(self) -> Cell:
        return self.op.cell

    @cached_property
    def type(self) -> Type:
        element = self.operands[0].element
        return element.vector(self.target.lanes(element.element_bytes))

    @cached_property
    def stages(self) -> list[_Stage]:
        weights = self.operands[1:]
        return [
            _Stage(number, gates, view.shape[2], view)
            for number, (gates, view) in enumerate(zip(self.cell.stages, weights, strict=False))
        ]

    @property
    def is_quantized(self) -> bool:
        return self.together > 1

    @property
    def together(self) -> int:
        """How many hidden units are multiplied by one instruction."""
        return self.operands[1].shape[5]

    @property
    def hidden(self) -> int:
        return self.results[1].shape[1]

    @property
    def padded(self) -> int:
        """How many numbers a value of all hidden units takes in the scratch."""
        return -(-self.hidden // self.type.lanes) * self.type.lanes

    @cached_property
    def values(self) -> list[int]:
        """How many values units have before each stage, and after the last."""
        scalar = TensorType(self.operands[0].kind, ())
        values: tuple[TensorType, ...] = (scalar,) * self.cell.states
        counts = [len(values)]
        for stage in self.stages:
            gates = (scalar,) * len(stage.gates)
            given = Given(gates, gates, values, (scalar,) * self.cell.parameters)
            values = self.cell.advance(OnTypes(), stage.number, given)
            counts.append(len(values))
        return counts

    @property
    def slots(self) -> int:
        """How many values units keep besides what is multiplied."""
        return max(self.values) - 1

    @cached_property
    def blocks(self) -> list[tuple[int, int]]:
        """The sequences in blocks: how many in one, how many blocks."""
        batch = self.results[0].shape[1]
        weights = sum(math.prod(stage.weights.shape) * stage.weights.kind.nbytes for stage in self.stages)
        most = self.tile_rows * (1 if weights <= _RESIDENT else _TILES)
        return split(batch, batch if self.is_quantized else most) if batch else []

    @property
    def first_state(self) -> int:
        """Which operand is the first initial state."""
        return 1 + len(self.stages) + {1: 0, 2: 1, 4: 2}[self.together]

    @property
    def tile_rows(self) -> int:
        return min(tile_rows(self.target, stage.vectors * len(stage.gates)) for stage in self.stages)

    def kernel(self) -> Kernel:
        rows = max((size for size, _ in self.blocks), default=0)
        scratch = (2 + self.slots + self.is_quantized) * rows * self.padded * self.type.element_bytes
        units = sum(count for _, count in self.blocks) if self.hidden else 0
        operands = len(self.results) + len(self.operands)
        return define_kernel("recurrence", self.target, operands, units, scratch, self._unit)

    def _unit(self, b: Builder, call: Call) -> None:
        def choose(blocks: Sequence[tuple[int, int]], unit: Index, first: int) -> None:
            (size, count), *others = blocks

            def these() -> None:
                self._sequences(b, call, size, b.add(first, b.mul(unit, size)))

            if not others:
                these()
                return
            b.branch(b.less(unit, count), these, lambda: choose(others, b.sub(unit, count), first + size * count))

        if self.blocks:
            choose(self.blocks, call.unit, 0)

    def _sequences(self, b: Builder, call: Call, rows: int, first: Index) -> None:
        """All steps of ``rows`` sequences."""
        current, following, quantized, *slots = (
            b.gep(call.scratch, n * rows * self.padded, self.type.scalar)
            for n in (0, 1, 2 + self.slots, *range(2, 2 + self.slots))
        )
        steps = self.results[0].shape[0]
        initial = [self._operand(call, self.first_state + n) for n in range(self.cell.states)]

        def begin(row: Index, x: Index, count: int, _: list[Ssa]) -> None:
            for (view, pointer), slot in zip(initial, [current, *slots], strict=False):
                place = self._at(b, view, pointer, b.add(first, row), x)
                b.store(load_vector(b, view, place, self.type.lanes, count), self._saved(b, slot, row, x))

        def step(i: Index, pair: list[Ssa]) -> list[Ssa]:
            time = b.sub(steps - 1, i) if self.op.reverse else i
            left, right = pair
            for stage in self.stages:
                self._stage(b, _Step(call, rows, first, time, b.rem(i, 2), left, right, slots, quantized), stage)
                left, right = right, left
            return [left, right]

        self._each_vector(b, rows, begin)
        last, _ = b.loop(0, steps, 1, step, [current, following])

        def end(row: Index, x: Index, count: int, _: list[Ssa]) -> None:
            finals = zip(self.results[1:], call.operands[1:], [last, *slots], strict=False)
            for view, pointer, slot in finals:
                value = b.load(self._saved(b, slot, row, x), self.type)
                b.store_first(value, self._at(b, view, pointer, b.add(first, row), x), count)

        self._each_vector(b, rows, end)

    def _each_vector(
        self,
        b: Builder,
        rows: int,
        body: Callable[[Index, Index, int, list[Ssa]], Sequence[Ssa] | None],
        carried: Sequence[Ssa] = (),
    ) -> list[Ssa]:
        """``body`` for each vector of units of each row: the row, the first unit, how many units exist."""
        lanes = self.type.lanes
        whole = self.hidden - self.hidden % lanes

        def row(number: Index, carried: list[Ssa]) -> list[Ssa]:
            carried = b.loop(0, whole, lanes, lambda x, c: body(number, x, lanes, c), carried)
            if whole < self.hidden:
                carried = list(body(number, whole, self.hidden - whole, carried) or ())
            return carried

        return b.loop(0, rows, 1, row, carried)

    def _stage(self, b: Builder, step: _Step, stage: _Stage) -> None:
        """The products of one stage, panel by panel, and what units make of them."""
        lanes = self.type.lanes
        units = stage.vectors * lanes
        whole, rest = divmod(self.hidden, units)
        view, weights = self._operand(step.call, 1 + stage.number)
        scale = self._quantize(b, step) if self.is_quantized else None

        def panel(number: Index, counts: list[int]) -> None:
            start = b.gep(weights, b.mul(number, view.strides[0]), view.element)
            self._panel(b, step, stage, scale, start, b.mul(number, units), counts)

        def visit(i: Index, _: list[Ssa]) -> None:
            along = b.mul(i, b.sub(1, b.mul(2, step.backward)))
            panel(b.add(along, b.mul(whole - 1, step.backward)), [lanes] * stage.vectors)

        b.loop(0, whole, 1, visit)
        if rest:
            panel(whole, [min(lanes, rest - x) for x in range(0, rest, lanes)])

    def _panel(
        self, b: Builder, step: _Step, stage: _Stage, scale: _Scale | None, panel: Ssa, x: Index, counts: list[int]
    ) -> None:
        """One panel for all rows: ``counts`` tells of its vectors of units how many units exist, the first at ``x``."""
        gates = len(stage.gates)
        parameters = [self._parameters(b, step, b.add(x, v * self.type.lanes), n) for v, n in enumerate(counts)]
        type = I32.vector(self.type.lanes) if scale else self.type
        along = self.padded // self.together
        starts = self._starts(b, step, stage, scale, x, counts) if scale else [zero(type)] * (gates * len(counts))
        done = 0
        for size, count in split(step.rows, self.tile_rows):
            lines = tuple(row * along for row in range(size))
            tile = RegisterTile(type, lines, len(counts) * gates, type.lanes, self.together == 2, self.together == 4)

            def rows(i: Index, _: list[Ssa], size: int = size, tile: RegisterTile = tile, done: int = done) -> None:
                row = b.add(done, b.mul(i, size))
                left = b.gep(step.quantized if scale else step.current, b.mul(row, along), type.scalar)
                products = accumulate(b, tile, left, panel, starts * size, [stage.walk], 4)
                for r in range(size):
                    for v, existing in enumerate(counts):
                        at = (r * len(counts) + v) * gates
                        unit = b.add(x, v * self.type.lanes)
                        sums = products[at : at + gates]
                        if scale:
                            sums = self._scaled(b, step, stage, sums, scale, unit, existing)
                        self._advance(b, step, stage, b.add(row, r), unit, existing, sums, parameters[v])

            b.loop(0, count, 1, rows)
            done += size * count

    def _advance(
        self,
        b: Builder,
        step: _Step,
        stage: _Stage,
        row: Index,
        x: Index,
        count: int,
        products: Sequence[Ssa],
        parameters: Sequence[Register],
    ) -> None:
        """What one vector of units of one row makes of its products."""
        view, pointer = self._operand(step.call, 0)
        sequence = b.add(step.first, row)
        units = [b.add(gate * self.hidden, x) for gate in stage.gates]
        places = [self._at(b, view, pointer, step.time, sequence, unit) for unit in units]
        outside = [load_vector(b, view, place, self.type.lanes, count) for place in places]
        places = [self._saved(b, slot, row, x) for slot in (step.current, *step.slots)]
        before = [Register(b.load(place, self.type), view.kind) for place in places[: self.values[stage.number]]]
        given = Given(
            [Register(vector, view.kind) for vector in outside],
            [Register(vector, view.kind) for vector in products],
            before,
            parameters,
        )
        values = self.cell.advance(OnRegisters(b, self.type.lanes), stage.number, given)
        after = [value.value for value in values]
        if stage is self.stages[-1]:
            shown = after[0]
            if self.op.ragged:
                inside = self._is_inside(b, step, sequence)
                shown = b.select(inside, shown, zero(self.type))
                old = before[-self.cell.states :]
                after = [b.select(inside, new, kept.value) for new, kept in zip(after, old, strict=True)]
            place = self._at(b, self.results[0], step.call.operands[0], step.time, sequence, x)
            b.store_first(shown, place, count)
        places[0] = self._saved(b, step.following, row, x)
        for vector, place in zip(after, places, strict=False):
            b.store(vector, place)

    def _quantize(self, b: Builder, step: _Step) -> _Scale:
        """Writes what is multiplied next as integers."""
        nothing = zero(self.type)
        lanes = self.type.lanes

        def widen(row: Index, x: Index, count: int, limits: list[Ssa]) -> list[Ssa]:
            value = b.load(self._saved(b, step.current, row, x), self.type)
            value = b.shuffle(value, nothing, [lane if lane < count else lanes for lane in range(lanes)])
            return [minimum(b, limits[0], value), maximum(b, limits[1], value)]

        low, high = self._each_vector(b, step.rows, widen, [nothing, nothing])
        e = OnRegisters(b, lanes)
        lowest, highest = (combine_lanes(b, minimum, low), combine_lanes(b, maximum, high))
        scale, origin = scale_and_zero(e, Register(lowest, Kind.F32), Register(highest, Kind.F32))

        def write(row: Index, x: Index, count: int, _: list[Ssa]) -> None:
            value = Register(b.load(self._saved(b, step.current, row, x), self.type), Kind.F32)
            if self.together == 4:
                integers = e.add(Cast(Kind.U8), stored_as(e, value, scale, origin)).value
            else:
                integers = steps_of(e, value, scale, origin).value
            place = b.add(b.mul(row, self.padded), x)
            b.store(integers, b.gep(step.quantized, place, integers.type.scalar))

        self._each_vector(b, step.rows, write)
        return _Scale(scale.value, e.add(Cast(Kind.I32), origin).value)

    def _starts(
        self, b: Builder, step: _Step, stage: _Stage, scale: _Scale, x: Index, counts: list[int]
    ) -> list[Ssa]:
        """What sums of products of integers start from: minus what the zero adds to each."""
        lanes = self.type.lanes
        if self.together == 2:  # of numbers of steps, zero is 0
            return [zero(I32.vector(lanes))] * (len(stage.gates) * len(counts))
        view, pointer = self._operand(step.call, self.first_state - 2)
        starts = []
        for v, count in enumerate(counts):
            for gate in stage.gates:
                place = self._at(b, view, pointer, b.add(gate * self.hidden, b.add(x, v * lanes)))
                starts.append(b.neg(b.op("mul", scale.zero, load_vector(b, view, place, lanes, count))))
        return starts

    def _scaled(
        self, b: Builder, step: _Step, stage: _Stage, sums: Sequence[Ssa], scale: _Scale, x: Index, count: int
    ) -> list[Ssa]:
        """Sums of products of numbers of steps as what they stand for."""
        view, pointer = self._operand(step.call, self.first_state - 1)
        scaled = []
        for gate, total in zip(stage.gates, sums, strict=True):
            place = self._at(b, view, pointer, b.add(gate * self.hidden, x))
            factor = b.op("fmul", scale.step, load_vector(b, view, place, self.type.lanes, count))
            scaled.append(b.op("fmul", b.cast("sitofp", total, self.type), factor))
        return scaled

    def _parameters(self, b: Builder, step: _Step, x: Index, count: int) -> list[Register]:
        """The constants of a vector of units."""
        if not self.cell.parameters:
            return []
        view, pointer = self._operand(step.call, self.first_state + self.cell.states)
        places = [self._at(b, view, pointer, n, x) for n in range(self.cell.parameters)]
        return [Register(load_vector(b, view, place, self.type.lanes, count), view.kind) for place in places]

    def _is_inside(self, b: Builder, step: _Step, sequence: Index) -> Ssa:
        """Whether a sequence has the step."""
        view, pointer = self._operand(step.call, -1)
        length = b.load(self._at(b, view, pointer, sequence), I32)
        return b.compare("slt", index(step.time), b.cast("sext", length, I64))

    def _operand(self, call: Call, number: int) -> tuple[View, Ssa]:
        """An operand's view and its pointer."""
        return self.operands[number], call.operands[len(self.results) :][number]

    def _at(self, b: Builder, view: View, pointer: Ssa, *position: Index) -> Ssa:
        """Where an element of a view lies."""
        for i, stride in zip(position, view.strides, strict=True):
            pointer = b.gep(pointer, b.mul(i, stride), view.element)
        return pointer

    def _saved(self, b: Builder, slot: Ssa, row: Index, x: Index) -> Ssa:
        """Where the scratch has the value of the unit ``x`` of a row."""
        return b.gep(slot, b.add(b.mul(row, self.padded), x), self.type.scalar)
