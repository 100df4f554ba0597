"""The native entry of a program: one function that calls the kernels in order, on every thread.

``void net(ptr context, i64 thread, i64 threads)``: the context is a table of pointers, see ``Slot``. The instructions
are a table too, of constants, which a loop goes through. Each thread does its share of an instruction's units, and all
wait for each other before the next instruction; but instructions that one thread does alone follow each other at once.
Regions have tables like that, and ``control`` calls them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glowpy_backends.cpu.builder import I1, I8, I32, I64, PTR, VOID, Builder, Index, Ssa, Type, constant, index
from glowpy_backends.cpu.context import Slot
from glowpy_backends.cpu.control import RUN_PROGRAM, Crew, emit_control, in_place_of, run
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.memory import ALIGNMENT, aligned
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.threadcode import BARRIER, FLUSH_DENORMALS, RESTORE_DENORMALS
from glowpy_backends.weights import LARGE
from glowpy_ir.program import Activation, Buffer, Compute, Instruction, Program, Scratch, Storage, Weight, ZeroHalo
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Net:
    """The entry as an LLVM module."""

    symbol: str
    ir: str
    scratch_bytes: int
    """What the context's scratch must hold for each thread."""


def weight_offsets(program: Program) -> tuple[dict[Storage, int], int]:
    """Where each weight lies in the segment of weights, in the order of use; and the size of the segment, in bytes.

    Equal weights lie at one place: both branches of a choice often use the same ones. Large ones have slots of the
    context instead, see ``large_weights``.
    """
    large = set(large_weights(program))
    offsets: dict[Storage, int] = {}
    alike: dict[Hashable, list[Weight]] = {}
    end = 0
    for part in program.programs():
        for instruction in part.instructions:
            for buffer in operand_buffers(instruction):
                weight = buffer.storage
                if not isinstance(weight, Weight) or weight in offsets or weight in large:
                    continue
                others = alike.setdefault((weight.type, weight.halo, weight.data.flat[:16].tobytes()), [])
                twin = next((other for other in others if _are_equal(weight.data, other.data)), None)
                others.append(weight)
                offsets[weight] = end if twin is None else offsets[twin]
                end += 0 if twin else -(-weight.nbytes // ALIGNMENT) * ALIGNMENT
    return offsets, end


def large_weights(program: Program) -> list[Weight]:
    """The weights that programs may share, in the order of use; those of regions are none of them."""
    inner = {buffer.storage for part in program.programs() if part is not program for buffer in _operands(part)}
    storages = dict.fromkeys(buffer.storage for buffer in _operands(program))
    return [w for w in storages if isinstance(w, Weight) and w.nbytes >= LARGE and not w.halo and w not in inner]


def _operands(program: Program) -> Iterator[Buffer]:
    for instruction in program.instructions:
        yield from operand_buffers(instruction)


def _are_equal(a: Array, b: Array) -> bool:
    """Whether two arrays of one type have the same bits."""
    bits = f"u{a.itemsize}"
    return a is b or bool(np.array_equal(a.view(bits), b.view(bits)))


def gather_weights(program: Program) -> Array:
    """The weights in one segment, in the order in which they are used."""
    offsets, size = weight_offsets(program)
    segment = aligned(size)
    for weight, start in offsets.items():
        assert isinstance(weight, Weight)
        place = segment[start : start + weight.nbytes].view(weight.type.kind.dtype)
        place.reshape(weight.type.extents)[...] = weight.data
    return segment


def operand_buffers(instruction: Instruction) -> Sequence[Buffer]:
    """The buffers whose pointers the code of an instruction takes, in its order: results, inputs, workspace."""
    if isinstance(instruction, ZeroHalo):
        return (instruction.buffer,)
    return (*instruction.outputs, *instruction.inputs, *instruction.workspace)


def emit_net(
    program: Program, kernels: Mapping[Instruction, Kernel], target: Target, flush_denormals: bool
) -> Net:
    """The entry of a program whose instructions are computed by these kernels."""
    b = Builder(target)
    scratch_bytes = max((kernel.scratch_bytes for kernel in kernels.values()), default=0)
    scratch_bytes = -(-scratch_bytes // ALIGNMENT) * ALIGNMENT
    b.declare(BARRIER, VOID, [PTR, I64])
    table = _Code(b, kernels, weight_offsets(program)[0]).table(program, large_weights(program))
    _define_run(b)
    with b.function("net", [PTR, I64, I64]) as (context, thread, threads):
        before = _flush(b) if flush_denormals else None
        scratch = b.gep(_slot(b, context, Slot.SCRATCH), b.mul(thread, scratch_bytes), I8)
        run(b, Ssa(table, PTR), Crew(context, scratch, thread, threads))
        if before is not None:
            b.declare(RESTORE_DENORMALS, VOID, [I32])
            b.call(RESTORE_DENORMALS, [before])
    text = b.text()
    symbol = f"net_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Net(symbol, text.replace("@net(", f"@{symbol}("), scratch_bytes)


def attach_scratch(program: Program, kernels: Mapping[Instruction, Kernel]) -> None:
    """Give the instructions whose kernels need it the scratch memory that they all share."""
    most = max((kernel.scratch_bytes for kernel in kernels.values()), default=0)
    for part in program.programs():
        taken = {buffer.name for buffer in part.buffers()}
        name = next(n for n in ("scratch", *map("scratch.{}".format, range(len(taken)))) if n not in taken)
        scratch = Scratch(name, TensorType(Kind.U8, (most,)))
        for instruction in part.instructions:
            if isinstance(instruction, Compute) and instruction in kernels and kernels[instruction].scratch_bytes:
                instruction.scratch = scratch


def _define_run(b: Builder) -> None:
    """The function that goes through the steps of a program, of any."""
    with b.function(RUN_PROGRAM, [PTR, PTR, PTR, I64, I64], internal=True) as parameters:
        program, context, scratch, thread, threads = parameters
        steps, places, count = (b.load(b.gep(program, i, I64), type) for i, type in enumerate(_PROGRAM))
        barrier = _slot(b, context, Slot.BARRIER)
        is_last = b.compare("eq", index(b.add(thread, 1)), threads)

        def wait() -> None:
            b.call(BARRIER, [barrier, threads])

        def run_step(number: Index, _: list[Ssa]) -> None:
            step = b.gep(steps, b.mul(number, len(_STEP)), I64)
            fields = (b.load(b.gep(step, i, I64), type) for i, type in enumerate(_STEP))
            adapter, kernel, units, first, waits = fields
            row = b.gep(places, b.mul(first, len(_PLACE)), I64)
            takes_part = b.op("or", is_last, b.compare("sgt", units, constant(1, I64)))
            arguments = [kernel, units, row, context, scratch, thread, threads]
            b.branch(takes_part, lambda: b.call_pointer(adapter, arguments))
            b.branch(b.cast("trunc", waits, I1), wait)

        def run_steps() -> None:
            b.loop(0, count, 1, run_step)

        b.branch(b.less(0, count), run_steps)


_PROGRAM = (PTR, PTR, I64)
"""A program: its steps, its places, and the number of its steps."""

_STEP = (PTR, PTR, I64, I64, I64)
"""An adapter, a kernel, its number of units, the number of its first place, and whether all wait for each other then.

The adapter is what calls a kernel of so many operands. One for an instruction with regions finds in the kernel's place
where their programs are.
"""

_PLACE = (I64, I64)
"""Where an operand lies: a slot of the context, and bytes from there."""

_ADAPTER = (PTR, I64, PTR, PTR, PTR, I64, I64)
"""What an adapter takes: kernel, units, places, context, scratch, thread, threads."""


@dataclass
class _Code:
    """Programs as tables of constants; LLVM would take minutes for the calls of thousands of kernels, written out."""

    b: Builder
    kernels: Mapping[Instruction, Kernel]
    weights: Mapping[Storage, int]
    arities: set[int] = field(default_factory=set)
    """For which there is an adapter."""
    controls: dict[Hashable, str] = field(default_factory=dict)
    """The adapters for instructions with regions, by all that their code depends on."""
    tables: int = 0

    def table(self, program: Program, large: Sequence[Weight] = ()) -> str:
        """The name of the table that stands for a program; ``large`` are the weights with slots of their own."""
        caller = (*program.inputs, *program.outputs, *large)
        slots: dict[Storage, int] = {buffer: Slot.FIRST_IO + i for i, buffer in enumerate(caller)}
        steps: list[str] = []
        places: list[str] = []
        alone = [self._is_for_one(instruction) for instruction in program.instructions]
        for instruction, own, following in zip(program.instructions, alone, (*alone[1:], False), strict=True):
            first = len(places)
            lying = (self._place(buffer, slots) for buffer in operand_buffers(instruction))
            places.extend(f"i64 {slot}, i64 {offset}" for slot, offset in lying)
            steps.append(f"{self._call_of(instruction)}, i64 {first}, i64 {int(not (own and following))}")
        parts = (self._constants("steps", _STEP, steps), self._constants("places", _PLACE, places))
        return self._constants("program", _PROGRAM, [f"ptr {parts[0]}, ptr {parts[1]}, i64 {len(steps)}"])

    def _constants(self, name: str, fields: Sequence[Type], rows: Sequence[str]) -> str:
        self.tables += 1
        self.b.constants(f"{name}{self.tables}", fields, rows)
        return f"@{name}{self.tables}"

    def _is_for_one(self, instruction: Instruction) -> bool:
        """Whether there is nothing in it that threads could share; then it is the last one's."""
        if isinstance(instruction, Compute) and instruction.regions:
            return all(self.kernels[leaf].units <= 1 for region in instruction.regions for leaf in region.leaves())
        return self.kernels[instruction].units <= 1

    def _call_of(self, instruction: Instruction) -> str:
        """The adapter, the kernel and the units of an instruction."""
        if isinstance(instruction, Compute) and instruction.regions:
            alone = self._is_for_one(instruction)
            programs = [f"ptr {self.table(region)}" for region in instruction.regions]
            listed = self._constants("regions", (PTR,), programs)
            units = 1 if alone else 2  # so that all take part
            return f"ptr @{self._control(instruction, alone)}, ptr {listed}, i64 {units}"
        kernel = self.kernels[instruction]
        arity = len(operand_buffers(instruction))
        self.b.declare(kernel.symbol, VOID, [PTR] * (arity + 1) + [I64, I64])
        if arity not in self.arities:
            self.arities.add(arity)
            self._define_adapter(arity)
        return f"ptr @call{arity}, ptr @{kernel.symbol}, i64 {kernel.units}"

    def _define_adapter(self, arity: int) -> None:
        b = self.b
        with b.function(f"call{arity}", _ADAPTER, internal=True) as parameters:
            kernel, units, row, context, scratch, thread, threads = parameters
            pointers = _pointers(b, row, context, arity)
            b.call_pointer(kernel, [*pointers, scratch, *_share(b, units, thread, threads)])

    def _control(self, instruction: Compute, alone: bool) -> str:
        """The adapter for an instruction with regions, which one thread runs alone, or all do."""
        key = (instruction.op, alone, in_place_of(instruction), *(region.signature for region in instruction.regions))
        name = self.controls.get(key)
        if name is not None:
            return name
        name = self.controls[key] = f"control{len(self.controls)}"
        b = self.b
        with b.function(name, _ADAPTER, internal=True) as (regions, _, row, context, scratch, thread, threads):
            if alone:
                thread, threads = constant(0, I64), constant(1, I64)
            pointers = _pointers(b, row, context, len(operand_buffers(instruction)))
            programs = [b.load(b.gep(regions, i, PTR), PTR) for i in range(len(instruction.regions))]
            emit_control(b, instruction, programs, pointers, Crew(context, scratch, thread, threads))
        return name

    def _place(self, buffer: Buffer, slots: Mapping[Storage, int]) -> tuple[int, int]:
        """The slot and the bytes from there to the first logical element."""
        storage = buffer.storage
        offset = buffer.layout.offset * buffer.type.kind.nbytes
        match storage:
            case Activation(offset=int(start)):
                return Slot.ARENA, start + offset
            case Weight() if storage in self.weights:
                return Slot.WEIGHTS, self.weights[storage] + offset
            case _:
                return slots[storage], offset


def _pointers(b: Builder, row: Ssa, context: Ssa, count: int) -> list[Ssa]:
    """Where the operands lie whose places begin at ``row``."""
    found = []
    for i in range(count):
        slot, offset = (b.load(b.gep(row, 2 * i + j, I64), I64) for j in (0, 1))
        found.append(b.gep(_slot(b, context, slot), offset, I8))
    return found


def _slot(b: Builder, context: Ssa, number: Index) -> Ssa:
    """A pointer of the context."""
    return b.load(b.gep(context, number, PTR), PTR)


def _flush(b: Builder) -> Ssa:
    """Let this thread compute zeros instead of denormals; how it was before."""
    b.declare(FLUSH_DENORMALS, I32, [])
    return b.call(FLUSH_DENORMALS, [], I32)


def _share(b: Builder, units: Ssa, thread: Ssa, threads: Ssa) -> list[Ssa]:
    """The first unit of a thread, and the one after its last; the last thread has it if there is only one."""

    def divided() -> list[Ssa]:
        bounds: list[Index] = [b.div(b.mul(units, t), threads) for t in (thread, b.add(thread, 1))]
        return [index(bound) for bound in bounds]

    is_whole = b.compare("slt", b.intrinsic("smin", units, threads), constant(2, I64))  # dividing takes long
    return b.branch(is_whole, lambda: [constant(0, I64), units], divided)
