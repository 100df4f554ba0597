"""Programs as text: ``parse_program(print_program(p))`` prints as ``p`` again.

An instruction is ``Op @out %y, @in %x, @in %w, @scratch %s attribute=value``; where a result is written over an input,
``@inout`` stands at the result's place and ``_`` at the input's. The regions of an instruction follow its line,
indented, and printed as programs; ``@scratch`` is the workspace then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from glowpy_ir.errors import SyntaxFault
from glowpy_ir.lines import Lines
from glowpy_ir.literals import CORE, Reader, Vocabulary, read_operator
from glowpy_ir.op import Movement, literal
from glowpy_ir.program import (
    Activation,
    Buffer,
    Compute,
    Input,
    Instruction,
    Output,
    Program,
    Scratch,
    Storage,
    View,
    Weight,
    ZeroHalo,
)
from glowpy_ir.text import data_text, read_data
from glowpy_ir.types import Array, TensorType


def print_program(program: Program) -> str:
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield f"program {program.name} {{"
    for buffer in program.buffers():
        yield f"  {buffer} = {_declaration(buffer)}"
    for instruction in program.instructions:
        yield f"  {instruction_text(instruction)}"
        for region in instruction.regions if isinstance(instruction, Compute) else ():
            yield from (f"    {line}" for line in _lines(region))
    yield f"}} arena {program.arena}" if program.arena is not None else "}"


def _declaration(buffer: Buffer) -> str:
    match buffer:
        case Input():
            return f"input {buffer.type}"
        case Output():
            return f"output {buffer.type}"
        case Weight():
            return f"weight {buffer.type} {data_text(buffer.data)}"
        case Activation():
            halo = f" halo={literal(buffer.halo)}" if buffer.halo else ""
            at = f" at={buffer.offset}" if buffer.offset is not None else ""
            return f"activation {buffer.type}{halo}{at}"
        case Scratch():
            return f"scratch {buffer.type}"
        case View():
            return f"view {buffer.of} {buffer.op.name}{buffer.op.attribute_text()} : {buffer.type}"
    raise TypeError(buffer)


def instruction_text(instruction: Instruction) -> str:
    """One instruction as it stands in printed programs."""
    if isinstance(instruction, ZeroHalo):
        return f"zero_halo @out {instruction.buffer}"
    outputs = [f"@inout {b}" if b in instruction.inputs else f"@out {b}" for b in instruction.outputs]
    inputs = ["_" if b in instruction.outputs else f"@in {b}" for b in instruction.inputs]
    scratch = [f"@scratch {b}" for b in (instruction.scratch, *instruction.workspace) if b]
    op = instruction.op
    return f"{op.name} {', '.join((*outputs, *inputs, *scratch))}{op.attribute_text()}"


def parse_program(
    text: str, vocabulary: Vocabulary = CORE, arrays: Mapping[str, Array] | None = None
) -> Program:
    """The program that ``text`` describes; SyntaxFault, with the line, if it describes none."""
    return _Parser(Lines(text), vocabulary, arrays or {}).program()


@dataclass
class _Parser:
    """Reads programs from lines, and their regions as they come."""

    lines: Lines
    vocabulary: Vocabulary
    arrays: Mapping[str, Array]

    def program(self) -> Program:
        program = Program(self.lines.header("program"))
        buffers: dict[str, Buffer] = {}
        while taken := self.lines.take():
            number, line = taken
            if end := re.fullmatch(r"\}(?: arena (\d+))?", line):
                program.arena = int(end[1]) if end[1] else None
                break
            regions = self.lines.regions("program", self.program)
            try:
                if declaration := re.fullmatch(r"%(\S+) = (\w+) (.*)", line):
                    if regions:
                        raise ValueError("only instructions have regions")
                    name, kind, rest = declaration.groups()
                    buffers[name] = self._buffer(name, kind, rest, program, buffers)
                else:
                    program.instructions.append(_parse_instruction(line, buffers, self.vocabulary, regions))
            except (KeyError, ValueError, SyntaxFault) as error:
                reason = f"no buffer %{error.args[0]}" if isinstance(error, KeyError) else str(error)
                raise SyntaxFault(f"line {number}: {line!r}: {reason}") from None
        return program

    def _buffer(self, name: str, kind: str, rest: str, program: Program, buffers: Mapping[str, Buffer]) -> Buffer:
        head, _, tail = rest.partition(" ")
        match kind:
            case "input":
                program.inputs.append(buffer := Input(name, TensorType.parse(rest)))
                return buffer
            case "output":
                program.outputs.append(result := Output(name, TensorType.parse(rest)))
                return result
            case "weight":
                type = TensorType.parse(head)
                program.weights.append(weight := Weight(name, type, data=read_data(tail, type, self.arrays)))
                return weight
            case "activation":
                found = Reader(tail, self.vocabulary).arguments("")
                return Activation(name, TensorType.parse(head), found.get("halo", ()), found.get("at"))
            case "scratch":
                return Scratch(name, TensorType.parse(rest))
            case "view":
                text, _, type_text = tail.rpartition(" : ")
                op = read_operator(text, self.vocabulary)
                if not isinstance(op, Movement):
                    raise SyntaxFault(f"{op.name} makes no view")
                return View(name, TensorType.parse(type_text), buffers[head.removeprefix("%")], op)
        raise SyntaxFault(f"no kind of buffer is called {kind!r}")


_OPERAND = re.compile(r"(@in|@out|@inout|@scratch) %([^,\s]+)|(_)")


def _parse_instruction(
    line: str, buffers: Mapping[str, Buffer], vocabulary: Vocabulary, regions: tuple[Program, ...]
) -> Instruction:
    name, _, rest = line.partition(" ")
    operands: list[re.Match[str]] = []
    position = 0
    while found := _OPERAND.match(rest, position):
        operands.append(found)
        position = found.end()
        if not rest.startswith(", ", position):
            break
        position += 2
    listed = [(m[1] or "_", buffers[m[2]] if m[2] else None) for m in operands]
    outputs = tuple(b for access, b in listed if access in ("@out", "@inout") and b)
    if name == "zero_halo":
        (storage,) = outputs
        if not isinstance(storage, Storage) or regions:
            raise SyntaxFault(f"{storage} has no halo of its own")
        return ZeroHalo(storage)
    over = iter([b for access, b in listed if access == "@inout" and b])
    inputs = tuple(b or next(over) for access, b in listed if access in ("@in", "_"))
    scratch = [b for access, b in listed if access == "@scratch" and b]
    op = read_operator(f"{name} {rest[position:]}", vocabulary)
    workspace = tuple(b for b in scratch if isinstance(b, Activation))
    own = [b for b in scratch if isinstance(b, Scratch)]
    if len(own) > 1 or len(own) + len(workspace) < len(scratch):
        raise SyntaxFault("an instruction takes one scratch memory, and activations as its workspace")
    return Compute(op, outputs, inputs, own[0] if own else None, None, regions, workspace)
