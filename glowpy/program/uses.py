"""Who touches what: the instructions and the buffers of each storage."""

from __future__ import annotations

from dataclasses import dataclass, field

from glowpy_ir.program import Buffer, Compute, Instruction, Program, Storage, View


@dataclass
class Uses:
    """For each storage, the instructions that touch it, in order, and the buffers that lie in it."""

    instructions: dict[Storage, dict[Compute, None]] = field(default_factory=dict)
    buffers: dict[Storage, dict[Buffer, None]] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program) -> Uses:
        uses = cls()
        for instruction in program.instructions:
            uses.add(instruction)
        return uses

    def add(self, instruction: Instruction) -> None:
        """Take note of an instruction that comes after the others; zeros of halos do not count."""
        if isinstance(instruction, Compute):
            for operand in instruction.operands():
                self.instructions.setdefault(operand.buffer.storage, {})[instruction] = None
                self.add_buffer(operand.buffer)

    def add_buffer(self, buffer: Buffer) -> None:
        """Take note of a buffer, and of those that it lies in."""
        known = self.buffers.setdefault(buffer.storage, {})
        while buffer not in known:
            known[buffer] = None
            if isinstance(buffer, View):
                buffer = buffer.of

    def touching(self, storage: Storage) -> list[Compute]:
        return list(self.instructions.get(storage, ()))

    def lying_in(self, storage: Storage) -> list[Buffer]:
        return list(self.buffers.get(storage, ()))

    def remove(self, instruction: Compute) -> None:
        """Forget an instruction; its buffers stay known."""
        for operand in instruction.operands():
            self.instructions.get(operand.buffer.storage, {}).pop(instruction, None)

    def merge(self, source: Storage, target: Storage) -> None:
        """What touched the source, or lay in it, now touches and lies in the target."""
        self.instructions.setdefault(target, {}).update(self.instructions.pop(source, {}))
        self.buffers.setdefault(target, {}).update(self.buffers.pop(source, {}))
        self.buffers[target].pop(source, None)
