"""Copy elimination: what is computed only to be copied is computed where the copy wants it.

Members of a concatenation are so written into their parent, and results into the caller's memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from glowpy.program.halo import layouts_fit, widen_halo, zero_halos
from glowpy.program.uses import Uses
from glowpy_backends.base import Backend
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.movement import Copy
from glowpy_ir.program import Activation, Buffer, Compute, Program, View, may_overlap


def coalesce_copies(program: Program, backend: Backend) -> bool:
    """Remove each copy whose source can live in its destination from the beginning; says whether any was removed."""
    computes = [i for i in program.instructions if isinstance(i, Compute)]
    work = _Coalescing(backend, Uses.of(program), {instruction: float(n) for n, instruction in enumerate(computes)})
    removed = {i for i in computes if isinstance(i.op, Copy) and work.remove(i)}
    computes = sorted((i for i in computes if i not in removed), key=work.position.__getitem__)
    program.instructions[:] = computes
    zero_halos(program)
    return bool(removed)


@dataclass
class _Coalescing:
    """The pass at work; ``position`` orders the instructions, and moves those that must come earlier."""

    backend: Backend
    uses: Uses
    position: dict[Compute, float]

    def remove(self, copy: Compute) -> bool:
        """Let the copy's source live in its destination, if nobody notices."""
        source, target = copy.inputs[0], copy.output
        if not isinstance(source, Activation) or source is target.storage:
            return False
        first = min(self.position[i] for i in self.uses.touching(source))
        fills = self._fills_before(copy, first)
        if fills is None or (source.halo and not widen_halo(self.uses, self.backend, target, source.halo)):
            return False
        if not self._move(source, target, copy):
            return False
        for fill in fills:
            self.position[fill] = first - 0.5
        return True

    def _fills_before(self, copy: Compute, first: float) -> list[Compute] | None:
        """What must be moved before ``first``, where the source's life begins; None if the two cannot be one.

        They cannot if anything else touches the destination's place while the source lives: fills excepted, which
        read nothing and may come earlier.
        """
        source, target = copy.inputs[0], copy.output
        last = max(self.position[i] for i in self.uses.touching(source.storage))
        at = self.position[copy]
        fills: list[Compute] = []
        for other in self.uses.touching(target.storage):
            here = self.position[other]
            if first <= here < at and self._touches(other, target):
                if not isinstance(other.op, Splat):
                    return None
                fills.append(other)
            if at < here <= last and any(may_overlap(b, target) for b in other.outputs):
                return None
        return fills

    @staticmethod
    def _touches(instruction: Compute, target: Buffer) -> bool:
        return any(may_overlap(operand.buffer, target) for operand in instruction.operands())

    def _move(self, source: Activation, target: Buffer, copy: Compute) -> bool:
        """Let the target stand wherever the source stood; undone, and False, if a layout does not fit there."""
        touching = [i for i in self.uses.touching(source) if i is not copy]
        views = [b for b in self.uses.lying_in(source) if isinstance(b, View) and b.of is source]
        operands = [(i, i.outputs, i.inputs) for i in touching]
        for view in views:
            view.of = target
        for instruction in touching:
            instruction.replace(source, target)
        trial = Uses({target.storage: dict.fromkeys((*self.uses.touching(target.storage), *touching))}, {})
        for buffer in (*self.uses.lying_in(target.storage), *self.uses.lying_in(source), target):
            if buffer is not source:
                trial.add_buffer(buffer)
        if not layouts_fit(trial, self.backend, target.storage):
            for view in views:
                view.of = source
            for instruction, outputs, inputs in operands:
                instruction.outputs, instruction.inputs = outputs, inputs
            return False
        self.uses.remove(copy)
        self.uses.merge(source, target.storage)
        return True
