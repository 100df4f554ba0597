"""Scheduling: the order of instructions in which the least memory is alive at once."""

from __future__ import annotations

from glowpy.program.scheduling import Step, order
from glowpy_ir.program import Activation, Instruction, Program, Storage, ZeroHalo, may_overlap


def schedule(program: Program) -> bool:
    """Reorder the instructions of a program without addresses; says whether the order changed."""
    raise NotImplementedError
