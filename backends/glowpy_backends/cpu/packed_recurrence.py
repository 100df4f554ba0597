"""Recurrence as the CPU computes it: its weights packed in panels, one operand for each stage of the cell."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_backends.cpu.kernels.recurrent import panel_vectors
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import OnArrays
from glowpy_ir.infer import OnTypes
from glowpy_ir.op import Emitter, Primitive, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Slice, Transpose, full_slice
from glowpy_ir.ops.recurrent import Recurrence
from glowpy_ir.ops.reduction import ReduceSum
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class PackedRecurrence(Primitive):
    """``op`` with its weights as ``[panels, H, vectors, gates, lanes, 1]`` for each stage of its cell.

    Weights of 16 bits are in pairs of hidden units: ``[panels, H / 2, vectors, gates, lanes, 2]``; those of 8 bits in
    quads, and the sum of each column ``[G * H]`` follows them (i32).
    """

    op: Recurrence

    def infer(self, input: TensorType, *rest: TensorType) -> tuple[TensorType, ...]:
        return self.op.infer(input, *self._unpack(OnTypes(), rest))

    def evaluate(self, input: Array, *rest: Array) -> tuple[Array, ...]:
        return self.op.evaluate(input, *self._unpack(OnArrays(), rest))

    def _unpack(self, e: Emitter[T], rest: tuple[T, ...]) -> tuple[T, ...]:
        """The operands after the first, with the weights ``[H, G * H]``."""
        stages = self.op.cell.stages
        packed, others = rest[: len(stages)], rest[len(stages) :]
        in_quads = bool(packed) and e.type_of(packed[0]).kind is Kind.I8
        if in_quads:
            packed, others = tuple(e.add(Cast(Kind.I16), weights) for weights in packed), others[1:]
        states = [e.type_of(other) for other in others if e.type_of(other).rank == 2]
        if not states or len(packed) < len(stages):
            raise TypeMismatch(f"{self.name} takes weights for each of {len(stages)} stages, and a state")
        hidden = states[0].extents[1]
        parts = []
        for weights, stage in zip(packed, stages, strict=True):
            type = e.type_of(weights)
            if type.rank != 6 or type.shape[3] != len(stage):
                raise TypeMismatch(f"{self.name} takes weights in panels of {len(stage)} gates, not {type}")
            panels, lines, vectors, gates, lanes, together = type.extents
            apart = e.add(Transpose((1, 5, 3, 0, 2, 4)), weights)
            padded = e.add(Reshape((lines * together, gates, panels * vectors * lanes)), apart)
            whole = e.add(Slice((0, 0, 0), (hidden, gates, hidden), (1, 1, 1)), padded)
            parts.append(e.add(Reshape((hidden, gates * hidden)), whole))
        return e.add(Concat(1), *parts), *others


def pack_weights(e: Emitter[T], op: Recurrence, weights: T, lanes: int) -> tuple[T, ...]:
    """The weights ``[H, G * H]`` in panels, for each stage, and the sums of columns if they are of 8 bits.

    ``lanes`` numbers of a hidden state fill a vector.
    """
    type = e.type_of(weights)
    hidden, _ = type.extents
    together = {Kind.I16: 2, Kind.I8: 4}.get(type.kind, 1)
    lines = -(-hidden // together)
    packed = []
    for stage in op.cell.stages:
        gates = len(stage)
        vectors = panel_vectors(gates, hidden, lanes)
        panels = -(-hidden // (vectors * lanes))
        columns = e.add(full_slice(type.shape, 1, stage[0] * hidden, gates * hidden), weights)
        part = e.add(Reshape((hidden, gates, hidden)), columns)
        missing = (lines * together - hidden, 0, panels * vectors * lanes - hidden)
        padded = e.add(Pad((0, 0, 0), missing), part) if any(missing) else part
        apart = e.add(Reshape((lines, together, gates, panels, vectors, lanes)), padded)
        packed.append(e.add(Transpose((3, 0, 4, 2, 5, 1)), apart))
    if type.kind is Kind.I8:
        packed.append(e.add(ReduceSum((0,), keepdims=False), e.add(Cast(Kind.I32), weights)))
    return tuple(packed)
