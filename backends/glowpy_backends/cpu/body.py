"""Bodies of scalar operations on vectors in registers: the arithmetic of every fused kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_backends.cpu.builder import Builder, Ssa, constant, zero
from glowpy_backends.cpu.conversion import REGISTERS, byte_of, low_bits
from glowpy_backends.cpu.halves import narrow_half, round_to_half, widen_half
from glowpy_backends.cpu.scalars import SCALARS
from glowpy_backends.cpu.small_floats import narrow_small, widen_small
from glowpy_backends.cpu.view import ELEMENTS, SMALL
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.convert import SMALL_INTEGERS, Cast
from glowpy_ir.ops.elementwise import Max, Min, Splat
from glowpy_ir.ops.functions import Abs, Neg
from glowpy_ir.ops.fused import Step
from glowpy_ir.ops.logic import Select
from glowpy_ir.types import Kind, TensorType

_HALVES = (Kind.F16, Kind.BF16)
_EXACT = (Splat, Cast, Select, Max, Min, Abs, Neg)
"""Steps after which there is nothing to round."""


@dataclass(frozen=True)
class Body:
    """``steps`` on values of these kinds, numbered as in ``Fused``; without steps, the first value.

    Values come and go as they stand in memory; between, bools are masks, and floats of 16 bits and less are float32,
    rounded by every step as if it stood alone.
    """

    steps: tuple[Step, ...]
    kinds: tuple[Kind, ...]

    def __call__(self, b: Builder, values: list[Ssa], lanes: int = 0) -> Ssa:
        lanes = values[0].type.lanes if values else lanes
        kinds = list(self.kinds)
        if not self.steps:
            return values[0]
        inside = [enter(b, kind, value) for kind, value in zip(kinds, values, strict=True)]
        for number, step in enumerate(self.steps, 1):
            arguments = [inside[arg] for arg in step.args]
            operands = tuple(kinds[arg] for arg in step.args)
            if isinstance(step.op, Splat):
                assert isinstance(step.op.value, int | float)  # symbols are bound before code is generated
                kind = step.op.kind
                value = float(np.asarray(step.op.value, kind.dtype)) if kind in _HALVES else step.op.value
                result = constant(value, REGISTERS[kind].vector(lanes))
            else:
                result = SCALARS[type(step.op)](b, step.op, operands, arguments)
                kind = result_kind(step.op, operands)
            if kind in _HALVES and number < len(self.steps) and not isinstance(step.op, _EXACT):
                result = round_to_half(b, result, ELEMENTS[kind])
            inside.append(result)
            kinds.append(kind)
        return leave(b, kinds[-1], inside[-1])

    @property
    def widest(self) -> int:
        """The bytes of the widest element in registers."""
        kinds = list(self.kinds)
        for step in self.steps:
            arguments = tuple(kinds[arg] for arg in step.args)
            kinds.append(step.op.kind if isinstance(step.op, Splat) else result_kind(step.op, arguments))
        return max((REGISTERS[kind].element_bytes for kind in kinds), default=1)

    @staticmethod
    def supports(op: Op) -> bool:
        """Whether the operation can stand in a body."""
        return type(op) in SCALARS or isinstance(op, Splat)


def result_kind(op: Op, kinds: tuple[Kind, ...]) -> Kind:
    """The kind that an element-wise operator makes of operands of these kinds."""
    (type,) = infer(op, *(TensorType(kind, ()) for kind in kinds))
    return type.kind


def enter(b: Builder, kind: Kind, value: Ssa) -> Ssa:
    """A vector as it is computed with, of one as it stands in memory, halves maybe as bits."""
    if kind is Kind.BOOL:
        return b.compare("ne", value, zero(value.type))
    if kind in (Kind.F16, Kind.BF16):
        return widen_half(b, b.cast("bitcast", value, ELEMENTS[kind].vector(value.type.lanes)))
    if kind in SMALL_INTEGERS:
        return low_bits(b, value, kind)
    if kind in SMALL:
        return widen_small(b, value, kind)
    return value


def leave(b: Builder, kind: Kind, value: Ssa) -> Ssa:
    """A vector as it stands in memory, of one that was computed."""
    memory = ELEMENTS[kind].vector(value.type.lanes)
    if kind is Kind.BOOL:
        return b.cast("zext", value, memory)
    if kind in (Kind.F16, Kind.BF16):
        return narrow_half(b, value, memory.scalar)
    if kind in SMALL_INTEGERS:
        return byte_of(b, value, kind)
    if kind in SMALL:
        return narrow_small(b, value, kind)
    return value
