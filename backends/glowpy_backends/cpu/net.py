"""The native entry of a program: one function that calls the kernels in order, on every thread.

``void net(ptr context, i64 thread, i64 threads)``: the context is a table of pointers, see ``Slot``. Each thread does
its share of an instruction's units, and all wait for each other before the next instruction.
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
    with b.function("net", [PTR, I64, I64]) as (context, thread, threads):
        before = _flush(b) if flush_denormals else None
        bases = _Bases(b, context, program)
        scratch = b.gep(bases.slot(Slot.SCRATCH), b.mul(thread, scratch_bytes), I8)
        barrier = bases.slot(Slot.BARRIER)
        for instruction in program.instructions:
            kernel = kernels[instruction]
            pointers = [bases.address(buffer) for buffer in operand_buffers(instruction)]
            b.declare(kernel.symbol, VOID, [PTR] * (len(pointers) + 1) + [I64, I64])
            b.call(kernel.symbol, [*pointers, scratch, *_share(b, kernel.units, thread, threads)])
            b.call(BARRIER, [barrier, threads])
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


def _flush(b: Builder) -> Ssa:
    """Let this thread compute zeros instead of denormals; how it was before."""
    b.declare(FLUSH_DENORMALS, I32, [])
    return b.call(FLUSH_DENORMALS, [], I32)


def _share(b: Builder, units: int, thread: Ssa, threads: Ssa) -> tuple[Ssa, Ssa]:
    """The first unit of a thread, and the one after its last."""
    bounds: list[Index] = [b.div(b.mul(units, t), threads) for t in (thread, b.add(thread, 1))]
    return index(bounds[0]), index(bounds[1])


@dataclass
class _Bases:
    """Pointers to where buffers lie; those of the context are loaded once."""

    b: Builder
    context: Ssa
    program: Program
    loaded: dict[int, Ssa] = field(default_factory=dict)
    slots: dict[Storage, int] = field(init=False)
    weights: dict[Storage, int] = field(init=False)

    def __post_init__(self) -> None:
        caller = (*self.program.inputs, *self.program.outputs)
        self.slots = {buffer: Slot.FIRST_IO + i for i, buffer in enumerate(caller)}
        self.weights = weight_offsets(self.program)[0]

    def slot(self, number: int) -> Ssa:
        if number not in self.loaded:
            self.loaded[number] = self.b.load(self.b.gep(self.context, number, PTR), PTR)
        return self.loaded[number]

    def address(self, buffer: Buffer) -> Ssa:
        """The first logical element."""
        storage = buffer.storage
        offset = buffer.layout.offset * buffer.type.kind.nbytes
        match storage:
            case Activation(offset=int(start)):
                return self.b.gep(self.slot(Slot.ARENA), start + offset, I8)
            case Weight():
                return self.b.gep(self.slot(Slot.WEIGHTS), self.weights[storage] + offset, I8)
            case _:
                return self.b.gep(self.slot(self.slots[storage]), offset, I8)
