"""Halos: zeros around a buffer, so that a kernel may read beyond the tensor's edge."""

from __future__ import annotations

from glowpy.program.uses import Uses
from glowpy_backends.base import Backend
from glowpy_ir.errors import InvalidIR
from glowpy_ir.program import Activation, Buffer, Instruction, Margins, Program, Storage, ZeroHalo
from glowpy_ir.verify_program import has_margins


def widen_halo(uses: Uses, backend: Backend, buffer: Buffer, margins: Margins) -> bool:
    """Give the storage of ``buffer`` a halo that puts ``margins`` of zeros around it; False if that cannot be.

    It cannot if the memory is not ours, if the buffer is not the whole storage in a dimension that wants zeros, or if
    something else that lies there could no longer be a view, or be taken by its instructions.
    """
    storage = buffer.storage
    if not isinstance(storage, Activation) or len(margins) != storage.type.rank:
        return False
    before = storage.halo
    old = before or ((0, 0),) * len(margins)
    storage.halo = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(old, margins, strict=True))
    if storage.halo == old:
        storage.halo = before
        return has_margins(buffer, margins)
    if has_margins(buffer, margins) and layouts_fit(uses, backend, storage):
        return True
    storage.halo = before
    return False


def layouts_fit(uses: Uses, backend: Backend, storage: Storage) -> bool:
    """Whether all that lies in ``storage`` is a view, and every instruction takes it where it lies."""
    try:
        layouts = {buffer: buffer.layout for buffer in uses.lying_in(storage)}
    except InvalidIR:
        return False
    for instruction in uses.touching(storage):
        operands = [*enumerate(instruction.inputs), *((~i, b) for i, b in enumerate(instruction.outputs))]
        for index, buffer in operands:
            if buffer in layouts and not backend.accepts(instruction.op, index, layouts[buffer]):
                return False
    return True


def zero_halos(program: Program) -> None:
    """Write zeros around each buffer that has a halo, before anything else touches it."""
    seen: set[Storage] = set()
    listed: list[Instruction] = []
    for instruction in program.instructions:
        if isinstance(instruction, ZeroHalo):
            continue
        for operand in instruction.operands():
            storage = operand.buffer.storage
            if storage.halo and storage not in seen:
                seen.add(storage)
                listed.append(ZeroHalo(storage, instruction.origin))
        listed.append(instruction)
    program.instructions = listed
