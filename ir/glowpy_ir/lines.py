"""Printed graphs and programs, line by line; what stands behind ``//`` is a comment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from glowpy_ir.errors import SyntaxFault

MOST_NESTED = 100
"""Regions may lie so deep in each other."""

R = TypeVar("R")


class Lines:
    """The lines that say something, one after the other."""

    def __init__(self, text: str) -> None:
        stripped = ((n, line.split("//")[0].strip()) for n, line in enumerate(text.splitlines(), start=1))
        self._lines = [(number, line) for number, line in stripped if line]
        self._next = 0
        self._depth = 0

    def take(self) -> tuple[int, str] | None:
        """The number of the next line and the line, without comments and blanks around it; None at the end."""
        if self._next == len(self._lines):
            return None
        self._next += 1
        return self._lines[self._next - 1]

    def header(self, word: str) -> str:
        """The name in the next line, ``word NAME {``; SyntaxFault if it is another line."""
        _, first = self.take() or (0, "")
        header = re.fullmatch(rf"{word} (\S+) \{{", first)
        if header is None:
            raise SyntaxFault(f"expected '{word} NAME {{', found {first!r}")
        return header[1]

    def regions(self, word: str, read: Callable[[], R]) -> tuple[R, ...]:
        """What ``read`` makes of the regions that are printed next; their first lines begin with ``word``."""
        if self._depth == MOST_NESTED:
            raise SyntaxFault("regions are nested too deeply")
        self._depth += 1
        regions = []
        while self._next < len(self._lines) and self._lines[self._next][1].startswith(f"{word} "):
            regions.append(read())
        self._depth -= 1
        return tuple(regions)
