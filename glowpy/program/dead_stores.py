"""Dead stores: what is written and never read is not computed."""

from __future__ import annotations

from glowpy_ir.program import Activation, Compute, Program, Storage, ZeroHalo


def remove_dead_stores(program: Program) -> bool:
    """Remove instructions whose results nobody reads afterwards; says whether there were any."""
    wanted: set[Storage] = set(program.outputs)
    kept = []
    for instruction in reversed(program.instructions):
        if isinstance(instruction, ZeroHalo):
            needed = instruction.buffer in wanted
        else:
            results = [buffer.storage for buffer in instruction.outputs]
            needed = any(s in wanted or not isinstance(s, Activation) for s in results)
        if needed:
            kept.append(instruction)
            if isinstance(instruction, Compute):
                wanted.update(buffer.storage for buffer in instruction.inputs)
    changed = len(kept) < len(program.instructions)
    program.instructions[:] = reversed(kept)
    used = {operand.buffer.storage for i in program.instructions for operand in i.operands()}
    program.weights = [weight for weight in program.weights if weight in used]
    return changed
