"""Memory planning: every activation gets an offset in one arena."""

from __future__ import annotations

from glowpy.program.placement import LiveRange, place
from glowpy.program.plan import BufferPlan, MemoryPlan
from glowpy_ir.program import Program

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector."""


def assign_addresses(program: Program) -> MemoryPlan:
    """Give every activation its offset, and the program the size of its arena."""
    lives = program.live_ranges()
    ranges = [LiveRange(buffer, buffer.nbytes, first, last + 1) for buffer, (first, last) in lives.items()]
    placement = place(ranges, ALIGNMENT)
    for buffer in lives:
        buffer.offset = placement.offsets[buffer]
    program.arena = placement.size
    rows = (
        BufferPlan(b.name, str(b.type), b.offset or 0, b.nbytes, first, last)
        for b, (first, last) in lives.items()
    )
    weights = sum(weight.nbytes for part in program.programs() for weight in part.weights)
    return MemoryPlan(placement.size, placement.live_peak, weights, tuple(rows))
