"""Operators that run graphs of their own: structured control flow.

A node of such an operator has *regions*, and so has an instruction: graphs here, programs there. A region is isolated
from what stands around it: all that it takes is an operand of its node, and an input of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Op, Results
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True, slots=True)
class Signature:
    """What a region takes and gives."""

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]

    def check_inputs(self, name: str, *types: TensorType) -> None:
        """Raise TypeMismatch if the region, called ``name`` in the message, does not take these."""
        if self.inputs != types:
            taken, given = (", ".join(map(str, row)) or "nothing" for row in (self.inputs, types))
            raise TypeMismatch(f"the region '{name}' takes {taken}, but gets {given}")


@dataclass(frozen=True, slots=True)
class Region:
    """A region that can be run, a graph's or a program's."""

    signature: Signature
    run: Callable[..., Sequence[Array]]
    """Takes its inputs, gives its outputs."""


class Structured(Op):
    """An operator whose meaning is in its regions."""

    regions: ClassVar[tuple[str, ...]]
    """What its regions are called, in their order."""

    def __init_subclass__(cls) -> None:
        cls._read_parameters(cls.infer, skip=2)

    def infer(self, regions: Sequence[Signature], *operands: Any) -> Results:
        """The types of the results; TypeMismatch if the regions or the operands do not fit."""
        raise NotImplementedError

    def evaluate(self, regions: Sequence[Region], *operands: Any) -> tuple[Array, ...]:
        """The meaning, written in NumPy and made to be read."""
        raise NotImplementedError

    def workspace(self, *operands: TensorType, in_place: Collection[int] = ()) -> tuple[TensorType, ...]:
        """The memory that running it takes beside that of its operands, its results and its regions.

        ``in_place`` are the numbers of what it carries from one run of a region to the next in one place.
        """
        return ()

    def check_regions(self, given: int) -> None:
        """Raise TypeMismatch if there are not so many regions."""
        if given != len(self.regions):
            raise TypeMismatch(f"{self.name} has the regions {', '.join(self.regions)}; {given} given")
