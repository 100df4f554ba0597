"""Which instructions must follow which: what is found by place is what comparing all with all finds."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy.program.schedule import dependences
from glowpy_ir.ops.movement import Copy, Slice, Transpose
from glowpy_ir.program import Activation, Buffer, Compute, Input, View, may_overlap
from glowpy_ir.types import Kind, TensorType

SHAPE = (12, 1, 9)


def piece(of: Activation, rng: np.random.Generator) -> Buffer:
    """A part that slices cut out, or all of it from another side."""
    if rng.random() < 0.1:
        return View("t", TensorType(Kind.F32, SHAPE[::-1]), of, Transpose((2, 1, 0)))
    starts = tuple(int(rng.integers(0, extent)) for extent in SHAPE)
    extents = tuple(int(rng.integers(1, extent - start + 1)) for extent, start in zip(SHAPE, starts, strict=True))
    steps = tuple(int(rng.choice([1, 1, 2])) for _ in SHAPE)
    shape = tuple(-(-n // step) for n, step in zip(extents, steps, strict=True))
    return View("v", TensorType(Kind.F32, shape), of, Slice(starts, shape, steps))


@pytest.mark.parametrize("seed", range(20))
def test_all_that_overlaps_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (Activation(name, TensorType(Kind.F32, SHAPE)) for name in "ab")
    instructions = []
    for _ in range(40):
        target = piece(a if rng.random() < 0.7 else b, rng)
        source = piece(b, rng) if rng.random() < 0.5 else Input("x", target.type)
        instructions.append(Compute(Copy(), (target,), (source,)))
    for j, found in enumerate(dependences(instructions)):
        later = list(instructions[j].operands())
        expected = {
            i
            for i, earlier in enumerate(instructions[:j])
            for p in earlier.operands()
            for q in later
            if p.buffer.storage is q.buffer.storage and (p.writes or q.writes) and may_overlap(p.buffer, q.buffer)
        }
        assert found == expected
