"""Operators at work on vectors in registers, composites among them."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_backends.cpu.body import result_kind
from glowpy_backends.cpu.builder import Builder, Ssa, constant
from glowpy_backends.cpu.conversion import REGISTERS
from glowpy_backends.cpu.scalars import SCALARS
from glowpy_ir.op import Composite, Op
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True, slots=True)
class Register:
    """A vector of elements as they are computed with: bools are masks, and floats of 16 bits are float32."""

    value: Ssa
    kind: Kind


@dataclass(frozen=True, slots=True)
class OnRegisters:
    """Applies element-wise operators to vectors of ``lanes`` elements; a constant of one element is in every lane."""

    b: Builder
    lanes: int

    def add(self, op: Op, *inputs: Register) -> Register:
        (result,) = self.add_all(op, *inputs)
        return result

    def add_all(self, op: Op, *inputs: Register) -> tuple[Register, ...]:
        if isinstance(op, Composite):
            results = op.expand(self, *inputs)
            return results if isinstance(results, tuple) else (results,)
        if isinstance(op, Splat):
            assert isinstance(op.value, int | float)  # symbols are bound before code is generated
            return (self._everywhere(op.value, op.kind),)
        kinds = tuple(input.kind for input in inputs)
        value = SCALARS[type(op)](self.b, op, kinds, [input.value for input in inputs])
        return (Register(value, result_kind(op, kinds)),)

    def constant(self, array: Array) -> Register:
        return self._everywhere(array.item(), TensorType.of(array).kind)

    def type_of(self, thing: Register) -> TensorType:
        return TensorType(thing.kind, ())

    def _everywhere(self, value: float, kind: Kind) -> Register:
        return Register(constant(value, REGISTERS[kind].vector(self.lanes)), kind)
