"""Keeps a compiled program for each combination of input shapes, as many as were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

import numpy as np

from glowpy.feeds import Feed, Shapes, Spec
from glowpy.program.plan import MemoryPlan
from glowpy_backends.base import Executable
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array

if TYPE_CHECKING:
    from glowpy.compiler import Compiled
    from glowpy.growing import Growing
    from glowpy.lengths import Lengths

LIMIT = 16
"""How many programs one model keeps."""

Output: TypeAlias = "Array | Sequence[Output] | Mapping[int | str, float] | None"
"""What a model gives: a tensor, a sequence, a map from labels to scores, or an optional that holds nothing."""


def flat_outputs(specs: Sequence[Spec], outputs: Sequence[Output]) -> dict[str, Array]:
    """All tensors by name; those of a sequence are numbered (``y.0``), those of a map have their label
    (``y.0.cat``), and of what holds nothing there are none."""
    flat: dict[str, Array] = {}
    for spec, output in zip(specs, outputs, strict=True):
        flat.update(_flat(spec.name, output))
    return flat


def _flat(name: str, output: Output) -> Iterator[tuple[str, Array]]:
    if isinstance(output, Mapping):
        yield from ((f"{name}.{label}", np.asarray(score, np.float32)) for label, score in output.items())
    elif isinstance(output, Sequence):
        for number, item in enumerate(output):
            yield from _flat(f"{name}.{number}", item)
    elif output is not None:
        yield name, output


class Runnable(Protocol):
    """A model for inputs of certain shapes."""

    @property
    def memory(self) -> MemoryPlan: ...

    def run(self, feeds: Sequence[Feed]) -> list[Output]:
        """The outputs for inputs that fit, both in the model's order."""
        ...

    def listing(self, kind: str) -> str:
        """The generated code as text; see ``Executable.listing``."""
        ...


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

    def run(self, feeds: Sequence[Feed]) -> list[Output]:
        """The outputs for inputs that fit, both in the model's order."""
        arrays = dict(zip(self.inputs, feeds, strict=True))
        return list(self.executable.run(arrays).values())  # type: ignore[arg-type]  # such a program takes tensors only

    def listing(self, kind: str) -> str:
        """The generated code as text; see ``Executable.listing``."""
        return self.executable.listing(kind)


class Specialisations:
    """Programs by the shapes of their inputs; compiles what is missing, and forgets what was not used for longest."""

    def __init__(
        self,
        programs: Mapping[Shapes, Runnable],
        build: Callable[[Shapes], Runnable] | None = None,
        lengths: Lengths | None = None,
        limit: int = LIMIT,
    ) -> None:
        """Start with ``programs``; ``build`` makes others, and without it there are none.

        ``lengths`` has programs that serve many shapes.
        """
        self._build = build
        self._lengths = lengths
        self._limit = max(limit, len(programs))
        self._programs: OrderedDict[Shapes, Runnable] = OrderedDict(programs)
        self.last: Runnable | None = next(reversed(self._programs.values()), None)
        """The program that was used last."""
        self._lock = Lock()

    def get(self, shapes: Shapes) -> Runnable:
        """The program for these shapes; UsageError if there is none, and none can be made.

        Threads that ask for a missing one wait until the first has compiled it.
        """
        with self._lock:
            self.last = self._get(shapes)
            return self.last

    def _get(self, shapes: Shapes) -> Runnable:
        if self._lengths and (growing := self._lengths.known(shapes)):
            return growing
        if shapes in self._programs:
            self._programs.move_to_end(shapes)
            return self._programs[shapes]
        if self._lengths and (growing := self._lengths.learned(shapes)):
            return growing
        self._programs[shapes] = self._make(shapes)
        if len(self._programs) > self._limit:
            self._programs.popitem(last=False)
        return self._programs[shapes]

    def _make(self, shapes: Shapes) -> Runnable:
        if self._build is None:
            wanted = ", ".join(str(list(shape)) if isinstance(shape, tuple) else str(shape) for shape in shapes)
            raise UsageError(f"there is no code for inputs of shapes {wanted}; compile the model for them")
        return self._build(shapes)

    def all(self) -> dict[Shapes, Runnable]:
        """What is there now for certain shapes, the one used last at the end."""
        with self._lock:
            return dict(self._programs)

    def growing(self) -> list[Growing]:
        """What is there now for many shapes."""
        with self._lock:
            return self._lengths.all() if self._lengths else []
