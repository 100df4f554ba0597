"""The steps from a lowered graph to a program with addresses, and why they come in this order."""

from __future__ import annotations

from glowpy.program.coalesce import coalesce_copies
from glowpy.program.dead_stores import remove_dead_stores
from glowpy.program.emit import emit_program
from glowpy.program.in_place import share_buffers
from glowpy.program.memory import MemoryPlan, assign_addresses
from glowpy.program.schedule import schedule
from glowpy_backends.base import Backend
from glowpy_ir.errors import GlowError
from glowpy_ir.graph import Graph
from glowpy_ir.program import Program
from glowpy_ir.program_text import print_program
from glowpy_ir.verify_program import verify_program

STEPS = ("emit", "coalesce", "dead stores", "schedule", "share", "place")

ORDER = (
    ("coalesce", "dead stores", "a source that moved into its destination may leave parts that nobody reads"),
    ("coalesce", "schedule", "members of a concatenation live as long as their parent, which the order must know"),
    ("schedule", "share", "a result takes over an input that dies there, and the order says what dies where"),
    ("share", "place", "two buffers that became one need one place"),
)


def build_program(graph: Graph, backend: Backend, check: bool = False) -> tuple[Program, MemoryPlan]:
    """The program of a lowered graph, every activation at its offset; verified after each step if ``check``."""
    program = emit_program(graph, backend)
    _check(program, "emit", check)
    coalesce_copies(program, backend)
    _check(program, "coalesce", check)
    remove_dead_stores(program)
    _check(program, "dead stores", check)
    schedule(program)
    _check(program, "schedule", check)
    share_buffers(program)
    _check(program, "share", check)
    plan = assign_addresses(program)
    _check(program, "place", check)
    return program, plan


def _check(program: Program, step: str, wanted: bool) -> None:
    if not wanted:
        return
    try:
        verify_program(program)
    except GlowError as error:
        error.add_note(f"after step '{step}':\n{print_program(program)}")
        raise
