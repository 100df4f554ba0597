"""A compiled model as its user sees it: called with arrays, answers with arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from glowpy.artifact import Artifact, fill_artifact, write_artifact
from glowpy.feeds import Gate, Spec, name_feeds
from glowpy.program.plan import MemoryPlan
from glowpy.specialise import Output, Specialisation, Specialisations
from glowpy_ir.errors import Unsupported, UsageError


class Model:
    """A compiled model; ``glowpy.compile`` and ``glowpy.load`` make one.

    Where dimensions are open, code is generated when inputs of new shapes come for the first time, and kept for the
    shapes that were used last. Several threads may call one model at once.

    Dimensions that grow from call to call share one program (see ``lengths``). An output that continues an input, as a
    decoder's cache does, is a view then; fed back, it is continued where it lies.
    """

    def __init__(
        self,
        name: str,
        backend: str,
        inputs: Sequence[Spec],
        outputs: Sequence[Spec],
        programs: Specialisations,
    ) -> None:
        self.name = name
        self.backend = backend
        self.inputs = tuple(inputs)
        """What the model takes, in its own order."""
        self.outputs = tuple(outputs)
        """What the model gives, in its own order."""
        self._programs = programs
        self._gate = Gate(self.inputs)

    def __call__(self, /, *arrays: object, **named: object) -> Output | tuple[Output, ...]:
        """Run the model: ``m(x)``, ``m(x, y)``, ``m({"x": x})`` or ``m(x=x)``.

        The answer is the array of the only output, or a tuple of all outputs in order; a sequence is a list,
        a map a dict, an optional that holds nothing None. UsageError if the inputs do not fit; nothing is cast.
        """
        results = self.run(None, name_feeds(self.inputs, arrays, named))
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, object]) -> list[Output]:
        """The outputs that are called ``names``, or all in the model's order; for inputs by name.

        UsageError if there is no such output, or the inputs do not fit; Findings or Unsupported if the model cannot be
        compiled for inputs of these shapes.
        """
        unknown = [name for name in names or () if name not in {spec.name for spec in self.outputs}]
        if unknown:
            raise UsageError(f"no output {unknown[0]!r}; there are: {', '.join(map(str, self.outputs))}")
        given, shapes = self._gate.admit(feeds)
        try:
            results = self._programs.get(shapes).run(given)
        except MemoryError as error:
            raise Unsupported(f"there is not enough memory for inputs of these shapes: {error}") from None
        if names is None:
            return results
        by_name = {spec.name: array for spec, array in zip(self.outputs, results, strict=True)}
        return [by_name[name] for name in names]

    @property
    def is_whole(self) -> bool:
        """Whether all code is there that will ever be needed for the shapes seen so far."""
        return all(isinstance(program, Specialisation) for program in self._programs.all().values())

    @property
    def memory_plan(self) -> MemoryPlan:
        """The memory of one inference, for the shapes that were used last; UsageError before the first."""
        if self._programs.last is None:
            raise UsageError("the memory depends on open dimensions; run the model once, or bind them when compiling")
        return self._programs.last.memory

    def listing(self, kind: str) -> str:
        """The generated code for the shapes that were used last, as text: ``llvm`` or ``asm`` of the cpu backend."""
        if self._programs.last is None:
            raise UsageError("there is no code before the first run; bind the open dimensions when compiling")
        return self._programs.last.listing(kind)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the code for all shapes compiled so far into a folder that ``glowpy.load`` reads.

        The folder is made, or replaced if glowpy wrote it. UsageError if nothing is compiled yet.
        """
        write_artifact(Path(folder), self._artifact())

    def fill(self, folder: Path) -> None:
        """Write the code for all shapes compiled so far into an empty folder."""
        fill_artifact(folder, self._artifact())

    def _artifact(self) -> Artifact:
        programs, growing = self._programs.all(), self._programs.growing()
        return Artifact(self.name, self.backend, self.inputs, self.outputs, programs, growing)

    def __repr__(self) -> str:
        takes, gives = (", ".join(map(str, specs)) for specs in (self.inputs, self.outputs))
        return f"<glowpy.Model {self.name!r} ({takes}) -> ({gives}), backend {self.backend!r}>"
