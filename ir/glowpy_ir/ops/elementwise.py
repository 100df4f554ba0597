"""Operators that work element by element, with broadcasting: what they are, and the arithmetic ones.

Broadcasting is NumPy's and ONNX's: shapes are aligned at the right, and a dimension of one is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Primitive
from glowpy_ir.types import Array, Kind, TensorType


def broadcast_shapes(*shapes: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The common shape; TypeMismatch if there is none. A symbol equals only itself."""
    result: list[Dim] = []
    for dims in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        wide = [dim for dim in dict.fromkeys(dims) if dim != 1]
        if len(wide) > 1:
            raise TypeMismatch(f"shapes do not broadcast: {' and '.join(_text(s) for s in shapes)}")
        result.append(wide[0] if wide else 1)
    return tuple(reversed(result))


def _text(shape: tuple[Dim, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


class Elementwise(Primitive):
    """A primitive whose result at an index depends on its operands at that index alone.

    A subclass says what it computes for arrays of one shape; the operands have one kind, which is the result's too,
    unless ``result_kind`` says otherwise.
    """

    def _common(self, *operands: TensorType) -> TensorType:
        kinds = {operand.kind for operand in operands}
        if len(kinds) > 1:
            raise TypeMismatch(f"{self.name}: element kinds differ: {', '.join(map(str, operands))}")
        shape = broadcast_shapes(*(operand.shape for operand in operands))
        return TensorType(self.result_kind(operands[0].kind), shape)

    def result_kind(self, kind: Kind) -> Kind:
        """The kind of the result for operands of ``kind``; TypeMismatch if they have no such operation."""
        return kind


class Unary(Elementwise):
    """An element-wise primitive of one operand."""

    in_place = (0,)

    def infer(self, input: TensorType) -> TensorType:
        return self._common(input)


class Binary(Elementwise):
    """An element-wise primitive of two operands."""

    in_place = (0, 1)

    def infer(self, lhs: TensorType, rhs: TensorType) -> TensorType:
        return self._common(lhs, rhs)


@dataclass(frozen=True)
class Splat(Primitive):
    """A tensor of one repeated value."""

    value: float
    kind: Kind = Kind.F32
    shape: tuple[Dim, ...] = ()

    def infer(self) -> TensorType:
        return TensorType(self.kind, self.shape)

    def evaluate(self) -> Array:
        return np.full(self.infer().extents, self.value, self.kind.dtype)


@dataclass(frozen=True)
class Add(Binary):
    """``lhs + rhs``"""

    commutative = True

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.add(lhs, rhs)


@dataclass(frozen=True)
class Sub(Binary):
    """``lhs - rhs``"""

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.subtract(lhs, rhs)


@dataclass(frozen=True)
class Mul(Binary):
    """``lhs * rhs``"""

    commutative = True

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.multiply(lhs, rhs)


@dataclass(frozen=True)
class Div(Binary):
    """``lhs / rhs``; of integers, the quotient rounded toward zero."""

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        if not np.issubdtype(lhs.dtype, np.integer):
            return np.divide(lhs, rhs)
        quotient = np.floor_divide(np.abs(lhs), np.abs(rhs))
        result: Array = np.where((lhs < 0) != (rhs < 0), -quotient, quotient).astype(lhs.dtype)
        return result


@dataclass(frozen=True)
class Max(Binary):
    """The larger of ``lhs`` and ``rhs``; NaN if one of them is."""

    commutative = True

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.maximum(lhs, rhs)


@dataclass(frozen=True)
class Min(Binary):
    """The smaller of ``lhs`` and ``rhs``; NaN if one of them is."""

    commutative = True

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.minimum(lhs, rhs)
