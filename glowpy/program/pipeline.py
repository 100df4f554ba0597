"""The steps from a lowered graph to a program with addresses, and why they come in this order."""

from __future__ import annotations

from collections.abc import Callable

from glowpy.pipeline import Trace
from glowpy.program.coalesce import coalesce_copies
from glowpy.program.dead_stores import remove_dead_stores
from glowpy.program.emit import emit_program
from glowpy.program.in_place import share_buffers
from glowpy.program.memory import assign_addresses
from glowpy.program.plan import MemoryPlan
from glowpy.program.schedule import schedule
from glowpy_backends.base import Backend
from glowpy_ir.graph import Graph
from glowpy_ir.program import Program
from glowpy_ir.program_text import print_program
from glowpy_ir.verify_program import verify_program

Step = Callable[[Program, Backend], object]

STEPS: tuple[tuple[str, Step], ...] = (
    ("coalesce", coalesce_copies),
    ("dead stores", lambda program, _: remove_dead_stores(program)),
    ("schedule", lambda program, _: schedule(program)),
    ("share", lambda program, _: share_buffers(program)),
)

ORDER = (
    ("coalesce", "dead stores", "a source that moved into its destination may leave parts that nobody reads"),
    ("coalesce", "schedule", "members of a concatenation live as long as their parent, which the order must know"),
    ("schedule", "share", "a result takes over an input that dies there, and the order says what dies where"),
)
"""Which step must come before which other, and why."""


def build_program(graph: Graph, backend: Backend, trace: Trace) -> tuple[Program, MemoryPlan]:
    """The program of a lowered graph, every activation at its offset, and the plan of its memory.

    What the regions of its nodes need is a part of that; they are built in the same way, the innermost first.
    """
    regions = {region: build_program(region, backend, trace)[0] for node in graph.nodes for region in node.regions}
    with trace.timed("emit"):
        program = emit_program(graph, backend, regions)
    _watch("emit", program, trace)
    for name, step in STEPS:
        with trace.timed(name):
            step(program, backend)
        _watch(name, program, trace)
    with trace.timed("place"):
        plan = assign_addresses(program)
    _watch("place", program, trace)
    return program, plan


def _watch(name: str, program: Program, trace: Trace) -> None:
    """Verify and show the program after a step, as far as the trace wants it."""
    try:
        if trace.check:
            verify_program(program)
    except Exception as error:
        error.add_note(f"in step '{name}', which left this program:\n{print_program(program)}")
        raise
    if trace.show and trace.only in (None, name):
        trace.show(name, print_program(program))
