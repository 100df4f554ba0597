"""Scheduling: the order of instructions in which the least memory is alive at once."""

from __future__ import annotations

from collections.abc import Sequence

from glowpy.program.scheduling import Step, order
from glowpy_ir.program import Activation, Buffer, Instruction, Operand, Output, Program, Storage, ZeroHalo, may_overlap


def schedule(program: Program) -> bool:
    """Reorder the instructions of a program without addresses; says whether the order changed."""
    after = dependences(program.instructions)
    steps = [
        Step(frozenset(after[i]), frozenset(s for o in instruction.operands() if _in_arena(s := o.buffer.storage)))
        for i, instruction in enumerate(program.instructions)
    ]
    sizes = {storage: storage.nbytes for step in steps for storage in step.buffers if isinstance(storage, Storage)}
    found = order(steps, sizes)
    changed = found != list(range(len(steps)))
    program.instructions[:] = [program.instructions[i] for i in found]
    return changed


def _in_arena(storage: Storage) -> bool:
    return isinstance(storage, Activation)


def dependences(instructions: Sequence[Instruction]) -> list[set[int]]:
    """For each instruction, the numbers of those that it must follow: they touch the same memory, and one writes it.

    The zeros of a halo come before everything else in their storage.
    """
    touched: dict[Storage, list[tuple[int, Buffer, bool]]] = {}
    zeroed: dict[Storage, int] = {}
    after: list[set[int]] = []
    for i, instruction in enumerate(instructions):
        earlier: set[int] = set()
        for operand in instruction.operands():
            storage = operand.buffer.storage
            if not isinstance(storage, Activation | Output):
                continue
            if storage in zeroed:
                earlier.add(zeroed[storage])
            if isinstance(instruction, ZeroHalo):
                earlier.update(j for j, _, _ in touched.get(storage, ()))
                zeroed[storage] = i
                continue
            known = touched.setdefault(storage, [])
            earlier.update(j for j, buffer, writes in known if _conflict(operand, buffer, writes))
            known.append((i, operand.buffer, operand.writes))
        after.append(earlier - {i})
    return after


def _conflict(operand: Operand, buffer: Buffer, writes: bool) -> bool:
    return (writes or operand.writes) and may_overlap(operand.buffer, buffer)
