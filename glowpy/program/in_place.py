"""In-place work: a result is written over an input that nobody needs any more, where the operator allows it."""

from __future__ import annotations

from glowpy_ir.program import Activation, Compute, Program, Storage, ZeroHalo


def share_buffers(program: Program) -> bool:
    """Let results take over dying inputs of the same type and halo; says whether any did.

    The input must be needed up to this instruction only, and the result from it on: then the two are one buffer, with
    ``@inout`` access, and the arena holds one instead of two.
    """
    last = {buffer: end for buffer, (_, end) in program.live_ranges().items()}
    users: dict[Activation, list[Compute]] = {}
    viewed: set[Storage] = set()
    for instruction in program.instructions:
        for operand in instruction.operands():
            buffer = operand.buffer
            if not isinstance(buffer, Activation):
                viewed.add(buffer.storage)
            elif isinstance(instruction, Compute):
                users.setdefault(buffer, []).append(instruction)
    replaced: set[Storage] = set()
    for at, instruction in enumerate(program.instructions):
        if not isinstance(instruction, Compute):
            continue
        source, result = _pair(instruction)
        if source is None or result is None or last[source] != at or not viewed.isdisjoint((source, result)):
            continue
        if users[result][0] is not instruction:  # something was written there before: a fill, a part
            continue
        for user in users[result]:
            user.replace(result, source)
        users[source] += users.pop(result)
        last[source] = last.pop(result)
        replaced.add(result)
    program.instructions = [
        i for i in program.instructions if not (isinstance(i, ZeroHalo) and i.buffer in replaced)
    ]
    return bool(replaced)


def _pair(instruction: Compute) -> tuple[Activation, Activation] | tuple[None, None]:
    """An input and the result that could be written over it."""
    if len(instruction.outputs) != 1 or not isinstance(instruction.output, Activation):
        return None, None
    result = instruction.output
    for index, source in enumerate(instruction.inputs):
        if (
            instruction.op.may_overwrite(index)
            and isinstance(source, Activation)
            and source is not result
            and (source.type, source.halo) == (result.type, result.halo)
            and instruction.inputs.count(source) == 1
        ):
            return source, result
    return None, None
