"""The native entry of a program: one function that calls the kernels in order, on every thread.

``void net(ptr context, i64 thread, i64 threads)``: the context is a table of pointers, see ``Slot``. The instructions
are a table too, of constants, which a loop goes through. Each thread does its share of an instruction's units, and all
wait for each other before the next instruction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from glowpy_backends.cpu.builder import I8, I32, I64, PTR, VOID, Builder, Index, Ssa, index
from glowpy_backends.cpu.context import Slot
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.memory import ALIGNMENT, aligned
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.threadcode import BARRIER, FLUSH_DENORMALS, RESTORE_DENORMALS
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
    """Where each weight lies in the segment of weights, in the order of use; and the size of the segment, in bytes."""
    offsets: dict[Storage, int] = {}
    end = 0
    for instruction in program.instructions:
        for buffer in operand_buffers(instruction):
            weight = buffer.storage
            if isinstance(weight, Weight) and weight not in offsets:
                offsets[weight] = end
                end += -(-weight.nbytes // ALIGNMENT) * ALIGNMENT
    return offsets, end


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
    """The buffers whose pointers a kernel takes, in its order: results, then inputs."""
    if isinstance(instruction, ZeroHalo):
        return (instruction.buffer,)
    return (*instruction.outputs, *instruction.inputs)


def emit_net(
    program: Program, kernels: Mapping[Instruction, Kernel], target: Target, flush_denormals: bool
) -> Net:
    """The entry of a program whose instructions are computed by these kernels."""
    b = Builder(target)
    scratch_bytes = max((kernel.scratch_bytes for kernel in kernels.values()), default=0)
    scratch_bytes = -(-scratch_bytes // ALIGNMENT) * ALIGNMENT
    b.declare(BARRIER, VOID, [PTR, I64])
    table = _Table(b, program, kernels)
    with b.function("net", [PTR, I64, I64]) as (context, thread, threads):
        before = _flush(b) if flush_denormals else None
        own = b.mul(thread, scratch_bytes)
        table.run(context, b.gep(_slot(b, context, Slot.SCRATCH), own, I8), thread, threads)
        if before is not None:
            b.declare(RESTORE_DENORMALS, VOID, [I32])
            b.call(RESTORE_DENORMALS, [before])
    text = b.text()
    symbol = f"net_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Net(symbol, text.replace("@net(", f"@{symbol}("), scratch_bytes)


def attach_scratch(program: Program, kernels: Mapping[Instruction, Kernel]) -> None:
    """Give the instructions whose kernels need it the scratch memory that they all share."""
    taken = {buffer.name for buffer in program.buffers()}
    name = next(n for n in ("scratch", *map("scratch.{}".format, range(len(taken)))) if n not in taken)
    most = max((kernel.scratch_bytes for kernel in kernels.values()), default=0)
    scratch = Scratch(name, TensorType(Kind.U8, (most,)))
    for instruction, kernel in kernels.items():
        if isinstance(instruction, Compute) and kernel.scratch_bytes:
            instruction.scratch = scratch


@dataclass
class _Table:
    """A program's instructions as constants; LLVM would take minutes for the calls of thousands, written out.

    A *step* is an adapter, a kernel, its number of units, and the number of its first place; a *place* is where an
    operand lies, a slot of the context and bytes from there. The adapter is what calls a kernel of so many operands.
    """

    b: Builder
    program: Program
    kernels: Mapping[Instruction, Kernel]
    slots: dict[Storage, int] = field(init=False)
    weights: dict[Storage, int] = field(init=False)

    def __post_init__(self) -> None:
        caller = (*self.program.inputs, *self.program.outputs)
        self.slots = {buffer: Slot.FIRST_IO + i for i, buffer in enumerate(caller)}
        self.weights = weight_offsets(self.program)[0]
        steps: list[str] = []
        places: list[str] = []
        arities = set()
        for instruction in self.program.instructions:
            kernel = self.kernels[instruction]
            buffers = operand_buffers(instruction)
            arities.add(arity := len(buffers))
            self.b.declare(kernel.symbol, VOID, [PTR] * (arity + 1) + [I64, I64])
            steps.append(f"ptr @call{arity}, ptr @{kernel.symbol}, i64 {kernel.units}, i64 {len(places)}")
            places.extend(f"i64 {slot}, i64 {offset}" for slot, offset in map(self._place, buffers))
        for arity in sorted(arities):
            self._define_adapter(arity)
        self.b.constants("steps", (PTR, PTR, I64, I64), steps)
        self.b.constants("places", (I64, I64), places)

    def run(self, context: Ssa, scratch: Ssa, thread: Ssa, threads: Ssa) -> None:
        """One thread's share of all steps."""
        b = self.b
        barrier = _slot(b, context, Slot.BARRIER)

        def run_step(number: Index, _: list[Ssa]) -> None:
            step = b.gep(Ssa("@steps", PTR), b.mul(number, 4), I64)
            adapter, kernel, units, first = (b.load(b.gep(step, i, I64), t) for i, t in enumerate((PTR, PTR, I64, I64)))
            places = b.gep(Ssa("@places", PTR), b.mul(first, 2), I64)
            b.call_pointer(adapter, [kernel, places, context, scratch, *_share(b, units, thread, threads)])
            b.call(BARRIER, [barrier, threads])

        b.loop(0, len(self.program.instructions), 1, run_step)

    def _define_adapter(self, arity: int) -> None:
        b = self.b
        with b.function(f"call{arity}", [PTR, PTR, PTR, PTR, I64, I64], internal=True) as parameters:
            kernel, places, context, scratch, begin, end = parameters
            pointers = []
            for i in range(arity):
                slot, offset = (b.load(b.gep(places, 2 * i + j, I64), I64) for j in (0, 1))
                pointers.append(b.gep(_slot(b, context, slot), offset, I8))
            b.call_pointer(kernel, [*pointers, scratch, begin, end])

    def _place(self, buffer: Buffer) -> tuple[int, int]:
        """The slot and the bytes from there to the first logical element."""
        storage = buffer.storage
        offset = buffer.layout.offset * buffer.type.kind.nbytes
        match storage:
            case Activation(offset=int(start)):
                return Slot.ARENA, start + offset
            case Weight():
                return Slot.WEIGHTS, self.weights[storage] + offset
            case _:
                return self.slots[storage], offset


def _slot(b: Builder, context: Ssa, number: Index) -> Ssa:
    """A pointer of the context."""
    return b.load(b.gep(context, number, PTR), PTR)


def _flush(b: Builder) -> Ssa:
    """Let this thread compute zeros instead of denormals; how it was before."""
    b.declare(FLUSH_DENORMALS, I32, [])
    return b.call(FLUSH_DENORMALS, [], I32)


def _share(b: Builder, units: Ssa, thread: Ssa, threads: Ssa) -> tuple[Ssa, Ssa]:
    """The first unit of a thread, and the one after its last."""
    bounds: list[Index] = [b.div(b.mul(units, t), threads) for t in (thread, b.add(thread, 1))]
    return index(bounds[0]), index(bounds[1])
