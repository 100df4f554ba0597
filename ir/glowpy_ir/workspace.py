"""The memory that an instruction with regions needs for itself.

A loop needs a second place for what it carries, as iterations use two in turns; unless each can write over what the one
before has made. That is safe if it is not read any more when it is written, or right then by an operator that allows
it.
"""

from __future__ import annotations

from collections.abc import Sequence

from glowpy_ir.ops.control import Loop
from glowpy_ir.program import Input, Instruction, Output, Program, ZeroHalo
from glowpy_ir.structured import Structured
from glowpy_ir.types import Kind, TensorType


def workspace_of(
    op: Structured, regions: Sequence[Program], operands: Sequence[TensorType]
) -> tuple[TensorType, ...]:
    """What an instruction with these regions needs for itself: an arena for them, and what its operator wants.

    Only one region runs at a time, so that they share the arena.
    """
    arena = max(region.arena or 0 for region in regions)
    return (TensorType(Kind.U8, (arena,)), *op.workspace(*operands, in_place=carried_in_place(op, regions)))


def carried_in_place(op: Structured, regions: Sequence[Program]) -> frozenset[int]:
    """The numbers of the carried tensors of a loop that need one place only; none if it is no loop."""
    if not isinstance(op, Loop):
        return frozenset()
    (body,) = regions
    following, _ = op.parts(body.outputs)
    pairs = zip(body.inputs[1:], following, strict=False)
    return frozenset(k for k, (before, after) in enumerate(pairs) if _may_share(body, before, after))


def _may_share(body: Program, before: Input, after: Output) -> bool:
    written = False
    for instruction in body.instructions:
        operands = list(instruction.operands())
        reads = any(operand.buffer.storage is before for operand in operands)
        writes = any(operand.buffer.storage is after and operand.writes for operand in operands)
        if reads and (written or (writes and not _writes_over(instruction, before, after))):
            return False
        written |= writes
    return True


def _writes_over(instruction: Instruction, before: Input, after: Output) -> bool:
    """Whether the operator may write a whole tensor over the other."""
    if isinstance(instruction, ZeroHalo) or instruction.outputs != (after,):
        return False
    taken = [index for index, buffer in enumerate(instruction.inputs) if buffer.storage is before]
    return len(taken) == 1 and instruction.inputs[taken[0]] is before and instruction.op.may_overwrite(taken[0])
