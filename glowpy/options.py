"""What a user may choose when compiling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glowpy_backends.base import BackendOptions


@dataclass(frozen=True)
class Options:
    """The backend, and what it is told; see ``BackendOptions`` for what that means."""

    backend: str = "cpu"
    threads: int | None = None
    target: str | None = None
    exact: bool = False
    flush_denormals: bool = False
    cache: Path | None = None

    def for_backend(self) -> BackendOptions:
        """What the backend is told."""
        return BackendOptions(self.threads, self.target, self.exact, self.flush_denormals, self.cache)
