"""Says what is going on while it takes long, and how long each phase took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

CLEAR = "\r\x1b[K"


class Progress:
    """The phases of a command: one changing line on a terminal, nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self.shown = not quiet and sys.stderr.isatty()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase and show its name while it runs."""
        if self.shown:
            print(f"{CLEAR}{name} ...", end="", file=sys.stderr, flush=True)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            if self.shown:
                print(CLEAR, end="", file=sys.stderr, flush=True)
