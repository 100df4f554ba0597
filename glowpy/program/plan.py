"""What is known of a program's memory when it is planned: where each activation lies, and when."""

from __future__ import annotations

from dataclasses import dataclass


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
