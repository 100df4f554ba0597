"""From LLVM IR text to machine code; run as a script, it is the worker process that does so for another.

It imports nothing of this project, so that a worker is up as soon as LLVM is.
"""

from __future__ import annotations

import struct
import sys
from functools import cache
from typing import Any, BinaryIO, NamedTuple, Protocol

import llvmlite
import llvmlite.binding as llvm

VERSION = f"{llvmlite.__version__} {llvm.llvm_version_info} topdown nolsr O3 pic 1"
"""All that shapes the code besides the IR and the machine; part of every key in the object cache."""


class Machine(Protocol):
    """What LLVM must know of a target; ``Target`` is one."""

    @property
    def triple(self) -> str: ...
    @property
    def cpu(self) -> str: ...
    @property
    def features(self) -> str: ...


class NamedMachine(NamedTuple):
    """A machine as it arrives in a worker process."""

    triple: str
    cpu: str
    features: str


class EmitError(Exception):
    """LLVM refuses the IR; the message is LLVM's."""


def emit_object(ir: str, machine: Machine) -> bytes:
    """The relocatable object file of a module; EmitError if the IR does not parse or verify.

    No optimisation runs before instruction selection: the kernels' IR has the shape the machine code should
    have, and the pipelines cost three times the compile time for the same loops.
    """
    code: bytes = _target_machine(*_key(machine)).emit_object(_parse(ir, machine))
    return code


def emit_assembly(ir: str, machine: Machine) -> str:
    """The module as assembly text; EmitError if the IR does not parse or verify."""
    text: str = _target_machine(*_key(machine)).emit_assembly(_parse(ir, machine))
    return text


def initialize() -> None:
    """Readies LLVM for all it can generate code for, once per process."""
    _initialize()


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    # The default, scheduling from both ends, spills accumulators of unrolled register tiles.
    llvm.set_option("glowpy", "-misched-prera-direction=topdown")
    # Loop strength reduction gives each row of a register tile its own pointer, more than there are registers;
    # kernels carry their pointers themselves.
    llvm.set_option("glowpy", "-disable-lsr")


def _key(machine: Machine) -> NamedMachine:
    return NamedMachine(machine.triple, machine.cpu, machine.features)


@cache
def _target_machine(triple: str, cpu: str, features: str) -> Any:
    """LLVM's own object; position-independent code serves the just-in-time linker and the bundle alike."""
    initialize()
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small")


def _parse(ir: str, machine: Machine) -> Any:
    target_machine = _target_machine(*_key(machine))
    try:
        module = llvm.parse_assembly(ir)
        module.triple = machine.triple
        module.data_layout = str(target_machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise EmitError(str(error).strip()) from None
    return module


# The worker process. A message is its length in eight bytes, then that many bytes. First come triple,
# processor and features; then each module gets an answer, "+" and the object, or "-" and why not, until the
# pipe closes.


def send(stream: BinaryIO, message: bytes) -> None:
    """Writes one message."""
    stream.write(struct.pack("<Q", len(message)))
    stream.write(message)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """Reads one message; None if the other side has gone."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    size: int = struct.unpack("<Q", head)[0]
    message = stream.read(size)
    return message if len(message) == size else None


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Compiles what arrives until nothing more does."""
    head = [receive(requests) for _ in NamedMachine._fields]
    machine = NamedMachine(*(part.decode() for part in head if part is not None))
    while (ir := receive(requests)) is not None:
        try:
            send(answers, b"+" + emit_object(ir.decode(), machine))
        except EmitError as error:
            send(answers, b"-" + str(error).encode())


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
