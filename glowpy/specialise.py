"""Keeps a compiled program for each combination of input shapes, as many as were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from glowpy.program.memory import MemoryPlan
from glowpy.source import Shapes
from glowpy_backends.base import Executable
from glowpy_ir.types import Array

LIMIT = 16
"""How many programs one model keeps."""


@dataclass(frozen=True)
class Specialisation:
    """Code for inputs of certain shapes."""

    executable: Executable
    memory: MemoryPlan
    inputs: tuple[str, ...]
    """What the program calls its inputs, in the model's order."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for inputs that fit, both in the model's order."""
        return list(self.executable.run(dict(zip(self.inputs, arrays, strict=True))).values())


class Specialisations:
    """Programs by the shapes of their inputs; compiles what is missing, and forgets what was not used for longest."""

    def __init__(
        self,
        build: Callable[[Shapes], Specialisation],
        programs: Mapping[Shapes, Specialisation] | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._build = build
        self._limit = max(limit, len(programs or ()))
        self._programs: OrderedDict[Shapes, Specialisation] = OrderedDict(programs or {})
        self._lock = Lock()

    def get(self, shapes: Shapes) -> Specialisation:
        """The program for these shapes. Threads that ask for a missing one wait until the first has compiled it."""
        with self._lock:
            if shapes in self._programs:
                self._programs.move_to_end(shapes)
            else:
                self._programs[shapes] = self._build(shapes)
                if len(self._programs) > self._limit:
                    self._programs.popitem(last=False)
            return self._programs[shapes]

    def all(self) -> dict[Shapes, Specialisation]:
        """What is there now, the one used last at the end."""
        with self._lock:
            return dict(self._programs)
