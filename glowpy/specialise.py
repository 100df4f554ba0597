"""Keeps a compiled program for each combination of input shapes, as many as were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Self

from glowpy.feeds import Shapes
from glowpy.program.plan import MemoryPlan
from glowpy_backends.base import Executable
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array

if TYPE_CHECKING:
    from glowpy.compiler import Compiled

LIMIT = 16
"""How many programs one model keeps."""


@dataclass(frozen=True)
class Specialisation:
    """Code for inputs of certain shapes."""

    executable: Executable
    memory: MemoryPlan
    inputs: tuple[str, ...]
    """What the program calls its inputs, in the model's order."""

    @classmethod
    def of(cls, compiled: Compiled) -> Self:
        """What is needed to run what was compiled; its graph and its program are not."""
        return cls(compiled.executable, compiled.memory, tuple(buffer.name for buffer in compiled.program.inputs))

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for inputs that fit, both in the model's order."""
        return list(self.executable.run(dict(zip(self.inputs, arrays, strict=True))).values())


class Specialisations:
    """Programs by the shapes of their inputs; compiles what is missing, and forgets what was not used for longest."""

    def __init__(
        self,
        programs: Mapping[Shapes, Specialisation],
        build: Callable[[Shapes], Specialisation] | None = None,
        limit: int = LIMIT,
    ) -> None:
        """Start with ``programs``; ``build`` makes others, and without it there are none."""
        self._build = build
        self._limit = max(limit, len(programs))
        self._programs: OrderedDict[Shapes, Specialisation] = OrderedDict(programs)
        self._lock = Lock()

    def get(self, shapes: Shapes) -> Specialisation:
        """The program for these shapes; UsageError if there is none, and none can be made.

        Threads that ask for a missing one wait until the first has compiled it.
        """
        with self._lock:
            if shapes in self._programs:
                self._programs.move_to_end(shapes)
            else:
                self._programs[shapes] = self._make(shapes)
                if len(self._programs) > self._limit:
                    self._programs.popitem(last=False)
            return self._programs[shapes]

    def _make(self, shapes: Shapes) -> Specialisation:
        if self._build is None:
            wanted = ", ".join(str(list(shape)) for shape in shapes)
            raise UsageError(f"there is no code for inputs of shapes {wanted}; compile the model for them")
        return self._build(shapes)

    def all(self) -> dict[Shapes, Specialisation]:
        """What is there now, the one used last at the end."""
        with self._lock:
            return dict(self._programs)
