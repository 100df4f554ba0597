"""A heavy operator and the element-wise operators on its result, or element-wise operators alone, as one kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import OnArrays
from glowpy_ir.infer import OnTypes
from glowpy_ir.op import Composite, Emitter, Op, Primitive
from glowpy_ir.ops.elementwise import Elementwise, Splat
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.types import Array, TensorType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a body; ``args`` number what it takes, see ``Fused``."""

    op: Elementwise | Splat
    args: tuple[int, ...]


@dataclass(frozen=True)
class Fused(Primitive):
    """``body(head(operands[:arity]), *operands[arity:])``, the intermediate results in registers.

    The body numbers its values: the head's result if there is a head, then the operands after ``arity``, then the
    result of each step; the last step is the result. Without a head the body is a stack of element-wise operators
    over one iteration space; with one it is the head's epilogue, and keeps the shape of the head's result.
    """

    head: Op | None
    arity: int
    body: tuple[Step, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        result = self._run(OnTypes(), operands)
        if self.head is not None and result.shape != OnTypes().add(self.head, *operands[: self.arity]).shape:
            raise TypeMismatch(f"the body of {self.head.name} widens its result to {result}")
        return result

    def evaluate(self, *operands: Array) -> Array:
        return np.asarray(self._run(OnArrays(), operands))

    def _run(self, e: Emitter[T], operands: tuple[T, ...]) -> T:
        values = list(operands[self.arity :])
        if self.head is not None:
            values.insert(0, e.add(self.head, *operands[: self.arity]))
        for step in self.body:
            if any(arg >= len(values) for arg in step.args):
                raise TypeMismatch(f"{step.op.name} in a body takes a value that no earlier step makes")
            values.append(e.add(step.op, *(values[arg] for arg in step.args)))
        return values[-1]

    def may_overwrite(self, index: int) -> bool:
        """Operands of the body are read where the result is written; those of the head are read everywhere."""
        return index >= self.arity

    def margins(self, index: int, *operands: TensorType) -> tuple[tuple[int, int], ...]:
        if self.head is None or index >= self.arity:
            return ()
        return self.head.margins(index, *operands[: self.arity])


@dataclass(frozen=True)
class FusedAttention(Composite):
    """``weights(scores(query, key, *extra)) @ value``, the scores of a few rows at a time

    ``query [*batch, M, D]``, ``key [*batch, D, N]`` and ``value [*batch, N, V]`` give ``[*batch, M, V]``. ``scores``
    is a ``MatMul``, or ``Fused`` with one as its head, whose other operands are ``extra``; ``weights`` is a ``Softmax``
    along the last axis, or ``Fused`` with one as its head and no other operands.
    """

    scores: Op
    weights: Op

    def expand(self, e: Emitter[T], query: T, key: T, *rest: T) -> T:
        if not rest or not isinstance(_head(self.scores), MatMul) or not isinstance(_head(self.weights), Softmax):
            raise TypeMismatch(f"{self.name} takes query, key and value, a product and a softmax")
        *extra, value = rest
        return e.add(MatMul(), e.add(self.weights, e.add(self.scores, query, key, *extra)), value)


def _head(op: Op) -> Op | None:
    return op.head if isinstance(op, Fused) else op
