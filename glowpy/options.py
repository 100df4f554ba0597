"""What a user may choose when compiling."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from glowpy_backends.base import BackendOptions
from glowpy_backends.weights import WeightPool


@dataclass(frozen=True)
class Options:
    """The backend, and what it is told; see ``BackendOptions`` for what that means."""

    backend: str = "cpu"
    threads: int | None = None
    target: str | None = None
    exact: bool = False
    flush_denormals: bool = False
    cache: Path | None = None
    weights: WeightPool = field(default_factory=WeightPool, compare=False, repr=False)

    def for_backend(self) -> BackendOptions:
        """What the backend is told."""
        return BackendOptions(
            self.threads, self.target, self.exact, self.flush_denormals, self.cache, self.weights
        )
