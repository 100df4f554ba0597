"""The rules that every program keeps between any two passes.

- Names are unique; every view is a view, with the type that its operator gives.
- An instruction's operator infers the types of its results from those of its inputs.
- Inputs and weights are never written; what is written has a place of its own for each element.
- No activation or output is read before it is written, but for those parts that hold no elements.
- A result overlaps an input only where the two are one buffer and the operator allows it.
- The halo that an operator reads is there, and was zeroed.
- Once placed, buffers that are alive at the same time do not overlap, and all lie inside the arena.
- Regions keep these rules, too; what they take and give lies dense, and their arena is nobody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from glowpy_ir.errors import GlowError, InvalidIR
from glowpy_ir.infer import infer
from glowpy_ir.program import (
    Activation,
    Buffer,
    Compute,
    Input,
    Margins,
    Program,
    Storage,
    View,
    Weight,
    ZeroHalo,
    may_overlap,
)
from glowpy_ir.structured import Structured
from glowpy_ir.workspace import workspace_of


def program_faults(program: Program) -> Iterator[GlowError]:
    """Every broken rule, with the instruction that breaks it."""
    for name, times in Counter(buffer.name for buffer in program.buffers()).items():
        if times > 1:
            yield InvalidIR(f"{times} buffers are called %{name}")
    for buffer in program.buffers():
        yield from _buffer_faults(buffer)
    written: set[Storage] = {*program.inputs, *program.weights}
    zeroed: set[Storage] = set()
    for instruction in program.instructions:
        for operand in instruction.operands():
            storage = operand.buffer.storage
            if operand.reads and storage not in written and operand.buffer.type.count:
                yield InvalidIR(f"{operand.buffer} is read before it is written").at(instruction.origin)
            if operand.writes and isinstance(storage, Input | Weight):
                yield InvalidIR(f"{operand.buffer} is written, but it is not ours").at(instruction.origin)
        if isinstance(instruction, ZeroHalo):
            zeroed.add(instruction.buffer)
            continue
        yield from _compute_faults(instruction, zeroed)
        yield from (fault.at(instruction.origin) for fault in _region_faults(instruction))
        written.update(buffer.storage for buffer in instruction.outputs)
    yield from (InvalidIR(f"output {buffer} is never written") for buffer in program.outputs if buffer not in written)
    if program.arena is not None:
        yield from _placement_faults(program, program.arena)


def _buffer_faults(buffer: Buffer) -> Iterator[GlowError]:
    if not isinstance(buffer, View):
        return
    try:
        (type,) = infer(buffer.op, buffer.of.type)
        if type != buffer.type:
            yield InvalidIR(f"{buffer} is {buffer.type}, but {buffer.op.name} gives {type}")
        _ = buffer.layout
    except GlowError as error:
        yield error


def _compute_faults(instruction: Compute, zeroed: set[Storage]) -> Iterator[GlowError]:
    op = instruction.op
    try:
        signatures = [region.signature for region in instruction.regions]
        types = infer(op, *(buffer.type for buffer in instruction.inputs), regions=signatures)
        if types != tuple(buffer.type for buffer in instruction.outputs):
            made = ", ".join(map(str, types))
            yield InvalidIR(f"{op.name} gives {made}, not {', '.join(str(b.type) for b in instruction.outputs)}").at(
                instruction.origin
            )
    except GlowError as error:
        yield error.at(instruction.origin)
        return
    for output in instruction.outputs:
        if not output.layout.is_injective:
            yield InvalidIR(f"{output} is written, but its elements share places").at(instruction.origin)
        for i, source in enumerate(instruction.inputs):
            if source is output and not op.may_overwrite(i):
                yield InvalidIR(f"{op.name} cannot write over {op.parameter(i).name} {source}").at(instruction.origin)
            if source is not output and may_overlap(source, output):
                yield InvalidIR(f"{op.name} reads {source} and writes {output}, which overlap").at(instruction.origin)
    for i, source in enumerate(instruction.inputs):
        wanted = op.margins(i, *(buffer.type for buffer in instruction.inputs))
        if any(map(any, wanted)) and not (source.storage in zeroed and has_margins(source, wanted)):
            message = f"{op.name} reads {wanted} around {source}, where no zeros are"
            yield InvalidIR(message).at(instruction.origin)


def _region_faults(instruction: Compute) -> Iterator[GlowError]:
    op = instruction.op
    if not isinstance(op, Structured):
        return
    for region in instruction.regions:
        yield from program_faults(region)
        if region.arena is None:
            yield InvalidIR(f"the activations of {region.name} have no addresses")
    for buffer in (*instruction.outputs, *instruction.inputs):
        if not buffer.layout.is_dense:
            yield InvalidIR(f"{op.name} takes only what lies dense, which {buffer} does not")
    wanted = workspace_of(op, instruction.regions, [buffer.type for buffer in instruction.inputs])
    given = tuple(buffer.type for buffer in instruction.workspace)
    if given != wanted:
        listed = (" ".join(map(str, types)) or "nothing" for types in (wanted, given))
        yield InvalidIR("the workspace of {} must be {}, but is {}".format(op.name, *listed))
    elsewhere = {*instruction.outputs, *instruction.inputs}
    yield from (InvalidIR(f"{b} is workspace, and something else") for b in instruction.workspace if b in elsewhere)


def has_margins(buffer: Buffer, wanted: Margins) -> bool:
    """Whether so many zeros lie around the buffer, in the halo of its storage."""
    halo = buffer.storage.halo
    while isinstance(buffer, View):
        same = buffer.type.rank == buffer.of.type.rank
        if not same or any(
            any(w) and n != m for w, n, m in zip(wanted, buffer.type.shape, buffer.of.type.shape, strict=True)
        ):
            return False
        buffer = buffer.of
    return bool(halo) and all(h[0] >= w[0] and h[1] >= w[1] for h, w in zip(halo, wanted, strict=True))


def _placement_faults(program: Program, arena: int) -> Iterator[GlowError]:
    alive: dict[Activation, tuple[int, int]] = program.live_ranges()
    placed = sorted(alive, key=lambda b: b.offset or 0)
    for buffer in placed:
        if buffer.offset is None:
            yield InvalidIR(f"{buffer} has no offset in the arena")
        elif buffer.offset + buffer.nbytes > arena:
            yield InvalidIR(f"{buffer} ends at {buffer.offset + buffer.nbytes}, beyond the arena of {arena}")
    for i, a in enumerate(placed):
        for b in placed[i + 1 :]:
            if (b.offset or 0) >= (a.offset or 0) + a.nbytes:
                break
            if alive[a][0] <= alive[b][1] and alive[b][0] <= alive[a][1] and a.nbytes and b.nbytes:
                yield InvalidIR(f"{a} and {b} are alive at the same time and overlap in the arena")


def verify_program(program: Program) -> None:
    """Raise the first fault, with notes that tell the others."""
    if found := list(program_faults(program)):
        for other in found[1:]:
            found[0].add_note(str(other))
        raise found[0]
