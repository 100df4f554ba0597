"""Outputs that continue an input: the caller may give both the same memory, and what was there is not copied."""

from __future__ import annotations

from collections.abc import Mapping

from glowpy.program.uses import Uses
from glowpy_ir.program import Input, Output, Program


def sharing(program: Program, continued: Mapping[int, int]) -> dict[str, str]:
    """Those of the outputs, each with the input that it continues, by name, that may lie in the input's memory.

    It is so if one instruction alone reads the input, and writes the output over it, and no other writes there.
    """
    uses = Uses.of(program)
    pairs = [(program.outputs[i], program.inputs[j]) for i, j in continued.items()]
    return {result.name: source.name for result, source in pairs if _is_written_over(source, result, uses)}


def _is_written_over(source: Input, result: Output, uses: Uses) -> bool:
    readers = uses.touching(source)
    writers = [i for i in uses.touching(result) if any(buffer.storage is result for buffer in i.outputs)]
    if len(readers) != 1 or readers != writers:
        return False
    (instruction,) = readers
    taken = [index for index, buffer in enumerate(instruction.inputs) if buffer.storage is source]
    is_whole = instruction.outputs == (result,) and [instruction.inputs[index] for index in taken] == [source]
    same = (source.type, source.halo) == (result.type, result.halo)
    return is_whole and same and instruction.op.may_overwrite(taken[0])
