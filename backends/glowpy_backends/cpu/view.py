"""How an operand lies in memory."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_ir.types import Kind


@dataclass(frozen=True, slots=True)
class View:
    """A tensor in memory: its kind, its logical shape, and its strides in elements.

    A pointer that comes with a view points at the first logical element. A stride of 0 repeats what it finds
    (broadcast); a halo around the logical elements lies at negative offsets and behind the ends of rows.
    """

    kind: Kind
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def dense(cls, kind: Kind, shape: tuple[int, ...]) -> View:
        """The last dimension is contiguous, and nothing lies between rows."""
        strides: list[int] = []
        size = 1
        for extent in reversed(shape):
            strides.insert(0, size)
            size *= extent
        return cls(kind, shape, tuple(strides))
