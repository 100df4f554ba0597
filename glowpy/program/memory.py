"""Memory planning: every activation gets an offset in one arena, and a report says how well they fit."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy.program.placement import LiveRange, place
from glowpy_ir.program import Program

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector."""


@dataclass(frozen=True)
class BufferPlan:
    """Where one activation lies, and when: sizes in bytes, instructions by number, both ends included."""

    name: str
    type: str
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """The arena of a program, in bytes."""

    arena: int
    live_peak: int
    """The most that is alive at once: no arena can be smaller."""
    weights: int
    buffers: tuple[BufferPlan, ...]

    @property
    def ratio(self) -> float:
        """Arena over live peak; 1 is perfect."""
        return self.arena / self.live_peak if self.live_peak else 1.0

    def __str__(self) -> str:
        return (
            f"arena {self.arena:,} bytes, live peak {self.live_peak:,} (ratio {self.ratio:.3f}), "
            f"{len(self.buffers)} activations, weights {self.weights:,} bytes"
        )


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
    weights = sum(weight.nbytes for weight in program.weights)
    return MemoryPlan(placement.size, placement.live_peak, weights, tuple(rows))
