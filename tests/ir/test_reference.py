"""The reference of operators says of composites what they come down to."""

from __future__ import annotations

import pytest

from glowpy_ir import reference
from glowpy_ir.infer import OnTypes
from glowpy_ir.op import Composite, Op
from glowpy_ir.ops.activation import Clip, Gelu, HardSwish
from glowpy_ir.ops.normalization import GroupNormalization, LayerNormalization
from glowpy_ir.types import Kind, TensorType


class Recorder(OnTypes):
    """Infers types, and notes which primitives it meets."""

    def __init__(self) -> None:
        self.met: set[str] = set()

    def add_all(self, op: Op, *inputs: TensorType) -> tuple[TensorType, ...]:
        if not isinstance(op, Composite):
            self.met.add(op.name)
            return super().add_all(op, *inputs)
        results = op.expand(self, *inputs)
        return results if isinstance(results, tuple) else (results,)

    def add(self, op: Op, *inputs: TensorType) -> TensorType:
        (result,) = self.add_all(op, *inputs)
        return result


EXPANSIONS = [
    (HardSwish(), 0, {"Add", "Max", "Min", "Mul", "Splat"}),
    (Clip(0, 1), 0, {"Max", "Min", "Splat"}),
    (Gelu(), 0, {"Add", "Erf", "Mul", "Splat"}),
    (LayerNormalization(1), 2, {"Add", "Cast", "Div", "Mul", "ReduceSum", "Splat", "Sqrt", "Sub"}),
    (GroupNormalization(2), 2, {"Add", "Cast", "Div", "Mul", "ReduceSum", "Reshape", "Splat", "Sqrt", "Sub"}),
]


@pytest.mark.parametrize(("op", "parts", "primitives"), EXPANSIONS)
def test_primitives_are_those_of_the_expansion(op: Composite, parts: int, primitives: set[str]) -> None:
    recorder = Recorder()
    recorder.add(op, TensorType(Kind.F16, (2, 4, 4)), *[TensorType(Kind.F16, (4,))] * parts)
    assert recorder.met == primitives
    assert recorder.met <= set(reference.primitives_of(type(op)))
