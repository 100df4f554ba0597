"""The interpreter: every instruction reads and writes one block of memory, as native code would.

The block is filled with poison, and an activation again before its life and after it: memory that nobody wrote, or
that somebody else wrote, looks wrong in the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from glowpy_backends.base import Backend, Executable
from glowpy_ir.errors import InvalidIR, UsageError
from glowpy_ir.evaluate import apply
from glowpy_ir.program import Activation, Buffer, Compute, Program, Storage, ZeroHalo
from glowpy_ir.structured import Region
from glowpy_ir.types import Array, Kind

POISON = 0xCD


class Interpreter(Backend):
    """Runs programs in NumPy."""

    name = "interpreter"

    def compile(self, program: Program) -> Executable:
        return InterpretedProgram(program)


class InterpretedProgram:
    """A program and the instructions at which its activations are born and die; and its regions, likewise."""

    def __init__(self, program: Program) -> None:
        if program.arena is None:
            raise InvalidIR(f"the activations of {program.name} have no addresses")
        self.program = program
        ranges = program.live_ranges()
        self.born: dict[int, list[Activation]] = {}
        self.dead: dict[int, list[Activation]] = {}
        for buffer, (first, last) in ranges.items():
            self.born.setdefault(first, []).append(buffer)
            self.dead.setdefault(last, []).append(buffer)
        computes = (i for i in program.instructions if isinstance(i, Compute))
        self.regions = {i: tuple(map(InterpretedProgram, i.regions)) for i in computes}

    def run(self, feeds: Mapping[str, Array], into: Mapping[str, Array] | None = None) -> dict[str, Array]:
        arena = np.full(self.program.arena or 0, POISON, np.uint8)
        results = self.call(arena, [feeds[buffer.name] for buffer in self.program.inputs])
        made = {buffer.name: array for buffer, array in zip(self.program.outputs, results, strict=True)}
        for name, target in (into or {}).items():
            target[...] = made[name]
            made[name] = target
        return made

    def call(self, arena: Array, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for inputs in the program's order; ``arena`` is at least as large as its own must be."""
        memory = Memory(self.program, arena, inputs)
        for i, instruction in enumerate(self.program.instructions):
            for buffer in self.born.get(i, ()):
                memory.poison(buffer)
            match instruction:
                case ZeroHalo(buffer=storage):
                    memory.zero_halo(storage)
                case Compute():
                    memory.compute(instruction, self._regions(instruction, memory))
            for buffer in self.dead.get(i, ()):
                memory.poison(buffer)
        return [memory.array(buffer).copy() for buffer in self.program.outputs]

    def _regions(self, instruction: Compute, memory: Memory) -> list[Region]:
        programs = self.regions[instruction]
        arenas = [memory.array(buffer) for buffer in instruction.workspace[:1]]
        return [
            Region(program.program.signature, lambda *arrays, p=program: p.call(*arenas, arrays))
            for program in programs
        ]

    def save(self, folder: Path) -> None:
        raise UsageError("the interpreter makes no code to save; compile with backend='cpu'")

    def listing(self, kind: str) -> str:
        raise UsageError(f"the interpreter makes no {kind}; compile with backend='cpu'")


class Memory:
    """The arena and the memory around it, seen as tensors."""

    def __init__(self, program: Program, arena: Array, inputs: Sequence[Array]) -> None:
        self.arena = arena
        self.owned: dict[Storage, Array] = {}
        for buffer in program.outputs:
            self.owned[buffer] = np.empty(buffer.extents, buffer.type.kind.dtype)
            if buffer.type.kind is not Kind.STRING:
                self.owned[buffer].reshape(-1).view(np.uint8)[...] = POISON
        for source, array in zip(program.inputs, inputs, strict=True):
            self.owned[source] = np.ascontiguousarray(array)
        for weight in program.weights:
            self.owned[weight] = np.ascontiguousarray(weight.data)

    def raw(self, storage: Storage) -> Array:
        """The storage with its halo."""
        if storage in self.owned:
            return self.owned[storage].reshape(storage.extents)
        assert isinstance(storage, Activation)
        assert storage.offset is not None
        memory = self.arena[storage.offset : storage.offset + storage.nbytes]
        return memory.view(storage.type.kind.dtype).reshape(storage.extents)

    def array(self, buffer: Buffer) -> Array:
        """The tensor where it lies."""
        raw, layout = self.raw(buffer.storage).reshape(-1), buffer.layout
        if layout.count == 0:
            return np.empty(layout.shape, raw.dtype)
        words = raw[layout.offset :].view(f"u{raw.itemsize}")  # NumPy cannot look at all kinds in strides
        return as_strided(words, layout.shape, [s * raw.itemsize for s in layout.strides]).view(raw.dtype)

    def compute(self, instruction: Compute, regions: Sequence[Region]) -> None:
        results = apply(instruction.op, *(self.array(buffer) for buffer in instruction.inputs), regions=regions)
        for buffer, result in zip(instruction.outputs, results, strict=True):
            self.array(buffer)[...] = result

    def poison(self, buffer: Activation) -> None:
        if buffer.nbytes:
            self.raw(buffer).reshape(-1).view(np.uint8)[...] = POISON

    def zero_halo(self, storage: Storage) -> None:
        raw = self.raw(storage)
        inside = raw[tuple(slice(b, n - a) for n, (b, a) in zip(raw.shape, storage.halo, strict=True))].copy()
        raw[...] = 0
        raw[tuple(slice(b, n - a) for n, (b, a) in zip(raw.shape, storage.halo, strict=True))] = inside
