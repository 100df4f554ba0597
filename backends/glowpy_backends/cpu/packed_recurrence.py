"""Recurrence as the CPU computes it: its weights packed in panels, one operand for each stage of the cell."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_backends.cpu.kernels.recurrent import panel_vectors
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import OnArrays
from glowpy_ir.infer import OnTypes
from glowpy_ir.op import Emitter, Primitive, T
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Transpose, full_slice
from glowpy_ir.ops.recurrent import Recurrence
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True)
class PackedRecurrence(Primitive):
    """``op`` with its weights as ``[panels, H, vectors, gates, lanes]`` for each stage of its cell."""

    op: Recurrence

    def infer(self, input: TensorType, *rest: TensorType) -> tuple[TensorType, ...]:
        packed, others = self._split(rest)
        return self.op.infer(input, self._unpack(OnTypes(), packed), *others)

    def evaluate(self, input: Array, *rest: Array) -> tuple[Array, ...]:
        packed, others = self._split(rest)
        return self.op.evaluate(input, self._unpack(OnArrays(), packed), *others)

    def _split(self, rest: tuple[T, ...]) -> tuple[tuple[T, ...], tuple[T, ...]]:
        stages = len(self.op.cell.stages)
        return rest[:stages], rest[stages:]

    def _unpack(self, e: Emitter[T], packed: tuple[T, ...]) -> T:
        """The weights ``[H, G * H]``."""
        parts = []
        for weights, stage in zip(packed, self.op.cell.stages, strict=False):
            type = e.type_of(weights)
            if type.rank != 5 or type.shape[3] != len(stage):
                raise TypeMismatch(f"{self.name} takes weights in panels of {len(stage)} gates, not {type}")
            panels, hidden, vectors, gates, lanes = type.extents
            lines = e.add(Transpose((1, 3, 0, 2, 4)), weights)
            apart = e.add(Reshape((hidden, gates, panels * vectors * lanes)), lines)
            whole = e.add(full_slice(e.type_of(apart).shape, 2, 0, hidden), apart)
            parts.append(e.add(Reshape((hidden, gates * hidden)), whole))
        return e.add(Concat(1), *parts)


def pack_weights(e: Emitter[T], op: Recurrence, weights: T, lanes: int) -> tuple[T, ...]:
    """The weights ``[H, G * H]`` in panels, for each stage."""
    hidden, _ = e.type_of(weights).extents
    packed = []
    for gates in op.cell.stages:
        vectors = panel_vectors(len(gates), hidden, lanes)
        panels = -(-hidden // (vectors * lanes))
        columns = e.add(full_slice(e.type_of(weights).shape, 1, gates[0] * hidden, len(gates) * hidden), weights)
        lines = e.add(Reshape((hidden, len(gates), hidden)), columns)
        missing = panels * vectors * lanes - hidden
        if missing:
            lines = e.add(Pad((0, 0, 0), (0, 0, missing)), lines)
        apart = e.add(Reshape((hidden, len(gates), panels, vectors, lanes)), lines)
        packed.append(e.add(Transpose((2, 0, 3, 1, 4)), apart))
    return tuple(packed)
