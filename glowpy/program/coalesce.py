"""Copy elimination: what is computed only to be copied is computed where the copy wants it.

Members of a concatenation are so written into their parent, and results into the caller's memory.
"""

from __future__ import annotations

from typing import TypeGuard

from glowpy.program.halo import layouts_fit, widen_halo, zero_halos
from glowpy_backends.base import Backend
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.movement import Copy
from glowpy_ir.program import Activation, Buffer, Compute, Instruction, Program, View, ZeroHalo, may_overlap


def coalesce_copies(program: Program, backend: Backend) -> bool:
    """Remove each copy whose source can live in its destination from the beginning; says whether any was removed."""
    changed = False
    for copy in [i for i in program.instructions if isinstance(i, Compute) and isinstance(i.op, Copy)]:
        source, target = copy.inputs[0], copy.output
        if isinstance(source, Activation) and source is not target and _can_move(program, backend, copy):
            _move(program, source, target)
            program.instructions.remove(copy)
            changed = True
    if changed:
        zero_halos(program)
    return changed


def _can_move(program: Program, backend: Backend, copy: Compute) -> bool:
    """Whether the source may take the destination's place without anyone noticing."""
    source, target = copy.inputs[0], copy.output
    if source.storage is target.storage or _conflicts(program, copy):
        return False
    views = [b for b in program.buffers() if b is not source and b.storage is source.storage]
    if source.storage.halo:
        if not widen_halo(program, backend, target, source.storage.halo, program.buffers()):
            return False
    # Look at the layouts as they would be, then take it back.
    roots = [view for view in views if isinstance(view, View) and view.of is source]
    for view in roots:
        view.of = target
    users = [i for i in program.instructions if isinstance(i, Compute) and i is not copy]
    moved = [i for i in users if source in (*i.outputs, *i.inputs)]
    for instruction in moved:
        instruction.replace(source, target)
    fits = layouts_fit(program, backend, target.storage, [*views, target])
    for view in roots:
        view.of = source
    for instruction in moved:
        instruction.replace(target, source)
    return fits


def _conflicts(program: Program, copy: Compute) -> bool:
    """Whether anything else touches the destination's place between the source's first write and its last use."""
    source, target = copy.inputs[0], copy.output
    touching = [
        i
        for i, instruction in enumerate(program.instructions)
        if any(operand.buffer.storage is source.storage for operand in instruction.operands())
    ]
    first, last = touching[0], touching[-1]
    at = program.instructions.index(copy)
    for i in range(first, len(program.instructions)):
        instruction = program.instructions[i]
        if instruction is copy or isinstance(instruction, ZeroHalo):
            continue
        for operand in instruction.operands():
            if not may_overlap(operand.buffer, target):
                continue
            if i < at and not _is_fill(instruction):
                return True
            if at < i <= last and operand.writes:
                return True
    return False


def _is_fill(instruction: Instruction) -> TypeGuard[Compute]:
    """Whether it reads nothing, and so can run as early as wanted."""
    return isinstance(instruction, Compute) and isinstance(instruction.op, Splat)


def _move(program: Program, source: Buffer, target: Buffer) -> None:
    """Let the target stand wherever the source stood; what fills the target comes first."""
    for buffer in program.buffers():
        if isinstance(buffer, View) and buffer.of is source:
            buffer.of = target
    for instruction in program.instructions:
        if isinstance(instruction, Compute):
            instruction.replace(source, target)
    fills = [i for i in program.instructions if _is_fill(i) and i.output.storage is target.storage]
    rest = [i for i in program.instructions if i not in fills]
    first = next(
        (
            i
            for i, instruction in enumerate(rest)
            if any(operand.buffer.storage is target.storage for operand in instruction.operands())
        ),
        len(rest),
    )
    program.instructions[:] = [*rest[:first], *fills, *rest[first:]]
