"""The low-level program: instructions on buffers that are known by address.

There are no values here, and nothing is assigned once: what an instruction reads and writes is what its operands say,
``@in``, ``@out``, ``@inout`` or ``@scratch``. A buffer either has storage of its own, or is a view, a movement operator
at work on another buffer; where it lies follows from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from glowpy_ir.errors import InvalidIR, Origin
from glowpy_ir.op import Movement, Op
from glowpy_ir.ops.movement import Slice
from glowpy_ir.strided import Strided
from glowpy_ir.structured import Signature
from glowpy_ir.types import Array, TensorType

Margins = tuple[tuple[int, int], ...]
"""(before, after) for each dimension; () stands for none at all."""


class Access(Enum):
    """What an instruction does with a buffer."""

    IN = "@in"
    OUT = "@out"
    INOUT = "@inout"
    SCRATCH = "@scratch"


@dataclass(eq=False)
class Buffer:
    """Memory that holds one tensor."""

    name: str
    type: TensorType

    def __str__(self) -> str:
        return f"%{self.name}"

    @property
    def storage(self) -> Storage:
        """The buffer with storage in which this one lies."""
        raise NotImplementedError

    @property
    def layout(self) -> Strided:
        """Where the elements lie, counted from the start of the storage; InvalidIR if no strides can say it."""
        raise NotImplementedError


@dataclass(eq=False)
class Storage(Buffer):
    """A buffer with memory of its own: the tensor, and a halo of zeros around it where a consumer wants one."""

    halo: Margins = ()

    @property
    def storage(self) -> Storage:
        return self

    @property
    def extents(self) -> tuple[int, ...]:
        """The shape with the halo."""
        shape = self.type.extents
        return tuple(b + n + a for n, (b, a) in zip(shape, self.halo, strict=True)) if self.halo else shape

    @property
    def layout(self) -> Strided:
        whole = Strided.dense(self.extents)
        if not self.halo:
            return whole
        return whole.slice([before for before, _ in self.halo], self.type.extents, [1] * len(self.halo))

    @property
    def nbytes(self) -> int:
        """With the halo, in bytes."""
        return math.prod(self.extents) * self.type.kind.nbytes


@dataclass(eq=False)
class Input(Storage):
    """The caller's memory; never written."""


@dataclass(eq=False)
class Output(Storage):
    """The caller's memory, for a result."""


@dataclass(eq=False, kw_only=True)
class Weight(Storage):
    """Memory that is known at compile time; never written."""

    data: Array = field(repr=False)


@dataclass(eq=False)
class Activation(Storage):
    """Memory in the arena, ``offset`` bytes from its start; lives from its first to its last use.

    The arena of a program that is a region lies in the arena of the program around it.
    """

    offset: int | None = None


@dataclass(eq=False)
class Scratch(Storage):
    """Memory for the length of one instruction, once for each thread that works on it; not in the arena."""


@dataclass(eq=False)
class View(Buffer):
    """A buffer that lies in another one."""

    of: Buffer
    op: Movement

    @property
    def storage(self) -> Storage:
        return self.of.storage

    @property
    def layout(self) -> Strided:
        layout = self.op.restride(self.of.layout)
        if layout is None:
            raise InvalidIR(f"{self} is no view of {self.of}: {self.op.name} of {self.of.layout} needs a copy")
        return layout


@dataclass(frozen=True, slots=True)
class Box:
    """The part of a storage that slices cut out of it: for each dimension start, extent and step."""

    starts: tuple[int, ...]
    extents: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """For each dimension, the first index in the part, and the one after the last."""
        lasts = [start + (n - 1) * step for start, n, step in zip(self.starts, self.extents, self.steps, strict=True)]
        return [(min(ends), max(ends) + 1) for ends in zip(self.starts, lasts, strict=True)]

    def is_disjoint(self, other: Box) -> bool:
        """Whether the two surely share no element."""
        return any(b <= c or d <= a for (a, b), (c, d) in zip(self.bounds, other.bounds, strict=True))


def box_of(buffer: Buffer) -> Box | None:
    """What part of its storage a buffer is; None if it is not cut out by slices alone."""
    match buffer:
        case Storage():
            n = buffer.type.rank
            return Box((0,) * n, buffer.type.extents, (1,) * n)
        case View(of=of, op=Slice() as cut):
            box = box_of(of)
            if box is None:
                return None
            starts = tuple(s + k * t for s, k, t in zip(box.starts, cut.offsets, box.steps, strict=True))
            steps = tuple(k * t for k, t in zip(cut.steps, box.steps, strict=True))
            return Box(starts, buffer.type.extents, steps)
    return None


def may_overlap(a: Buffer, b: Buffer) -> bool:
    """Whether the two buffers may share an element."""
    if a.storage is not b.storage or not a.type.count or not b.type.count:
        return False
    box_a, box_b = box_of(a), box_of(b)
    if box_a and box_b:
        return not box_a.is_disjoint(box_b)
    (start_a, end_a), (start_b, end_b) = a.layout.span, b.layout.span
    return start_a < end_b and start_b < end_a


@dataclass(frozen=True, slots=True)
class Operand:
    access: Access
    buffer: Buffer

    def __str__(self) -> str:
        return f"{self.access.value} {self.buffer}"

    @property
    def reads(self) -> bool:
        return self.access in (Access.IN, Access.INOUT)

    @property
    def writes(self) -> bool:
        return self.access in (Access.OUT, Access.INOUT, Access.SCRATCH)


@dataclass(eq=False)
class Compute:
    """One operator at work on buffers: a primitive, or a composite that the backend keeps whole, or a structured one.

    The regions of a structured operator are programs that are called with the instruction's operands.
    """

    op: Op
    outputs: tuple[Buffer, ...]
    inputs: tuple[Buffer, ...]
    scratch: Scratch | None = None
    origin: Origin | None = None
    regions: tuple[Program, ...] = ()
    workspace: tuple[Activation, ...] = ()
    """With regions: the arena in which they take turns, and then what ``Structured.workspace`` asks for."""

    @property
    def output(self) -> Buffer:
        """The only result."""
        (buffer,) = self.outputs
        return buffer

    def operands(self) -> Iterator[Operand]:
        for buffer in self.outputs:
            yield Operand(Access.INOUT if buffer in self.inputs else Access.OUT, buffer)
        yield from (Operand(Access.IN, buffer) for buffer in self.inputs if buffer not in self.outputs)
        if self.scratch is not None:
            yield Operand(Access.SCRATCH, self.scratch)
        yield from (Operand(Access.SCRATCH, buffer) for buffer in self.workspace)

    def replace(self, old: Buffer, new: Buffer) -> None:
        """Let every operand that is ``old`` be ``new``."""
        self.outputs = tuple(new if b is old else b for b in self.outputs)
        self.inputs = tuple(new if b is old else b for b in self.inputs)


@dataclass(eq=False)
class ZeroHalo:
    """Writes the zeros around a buffer; nothing else ever writes there."""

    buffer: Storage

    origin: Origin | None = None

    def operands(self) -> Iterator[Operand]:
        yield Operand(Access.OUT, self.buffer)


Instruction = Compute | ZeroHalo


@dataclass(eq=False)
class Program:
    """Buffers, and the instructions that run over them in order."""

    name: str
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    arena: int | None = None
    """Bytes of the arena, once every activation has its offset in it."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives, as the region of an instruction."""
        return Signature(tuple(b.type for b in self.inputs), tuple(b.type for b in self.outputs))

    def leaves(self) -> Iterator[Instruction]:
        """The instructions that have no regions, those in regions too."""
        for part in self.programs():
            yield from (i for i in part.instructions if isinstance(i, ZeroHalo) or not i.regions)

    def programs(self) -> Iterator[Program]:
        """Itself, and the regions of its instructions, however deep they lie in each other."""
        yield self
        for instruction in self.instructions:
            for region in instruction.regions if isinstance(instruction, Compute) else ():
                yield from region.programs()

    def buffers(self) -> list[Buffer]:
        """Every buffer, each after the one in which it lies."""
        found: dict[Buffer, None] = dict.fromkeys((*self.inputs, *self.outputs, *self.weights))

        def visit(buffer: Buffer) -> None:
            if isinstance(buffer, View) and buffer not in found:
                visit(buffer.of)
            found[buffer] = None

        for instruction in self.instructions:
            for operand in instruction.operands():
                visit(operand.buffer)
        return list(found)

    def activations(self) -> list[Activation]:
        return [buffer for buffer in self.buffers() if isinstance(buffer, Activation)]

    def live_ranges(self) -> dict[Activation, tuple[int, int]]:
        """The numbers of the first and the last instruction that touches each activation."""
        ranges: dict[Activation, tuple[int, int]] = {}
        for i, instruction in enumerate(self.instructions):
            for operand in instruction.operands():
                storage = operand.buffer.storage
                if isinstance(storage, Activation):
                    ranges[storage] = (ranges.get(storage, (i, i))[0], i)
        return ranges
