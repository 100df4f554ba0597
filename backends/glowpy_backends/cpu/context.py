"""What the native entry of a program finds at the pointer that it is given: a table of pointers."""

from __future__ import annotations

from enum import IntEnum


class Slot(IntEnum):
    """The pointers in the context; those of the inputs and then of the outputs follow."""

    ARENA = 0
    WEIGHTS = 1
    SCRATCH = 2
    BARRIER = 3
    FIRST_IO = 4
