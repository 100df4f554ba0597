"""Operators that work element by element, with broadcasting: what they are, and the arithmetic ones.

Broadcasting is NumPy's and ONNX's: shapes are aligned at the right, and a dimension of one is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np

from glowpy_ir.dims import Dim, Expr
from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.types import Array, Kind, TensorType

FLOATS = frozenset({Kind.F64, Kind.F32, Kind.F16, Kind.BF16})
SIGNED = frozenset({Kind.I64, Kind.I32, Kind.I16, Kind.I8})
UNSIGNED = frozenset({Kind.U64, Kind.U32, Kind.U16, Kind.U8})
INTEGERS = SIGNED | UNSIGNED
NUMBERS = FLOATS | INTEGERS
"""The kinds one can compute with; of the smaller ones one can only make and cast."""


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


def require_kind(name: str, kind: Kind, kinds: frozenset[Kind]) -> None:
    """TypeMismatch unless ``kind`` is among those that the operator called ``name`` takes."""
    if kind not in kinds:
        known = ", ".join(k.value for k in Kind if k in kinds)
        raise TypeMismatch(f"{name} takes elements of {known}; not of {kind.value}")


def widened(array: Array) -> Array:
    """Floats of less than 32 bits as float32, anything else as it is: what arithmetic works on before it rounds."""
    kind = TensorType.of(array).kind
    return array.astype(np.float32) if kind.is_float and kind.nbytes < 4 else array


class Elementwise(Primitive):
    """A primitive whose result at an index depends on its operands at that index alone.

    A subclass says which kinds it takes, and in ``compute`` what it makes of them. The operands have one kind, which
    is the result's too, unless ``result_kind`` says otherwise. Integers wrap around; floats of less than 32 bits are
    computed in float32 and rounded once.
    """

    kinds: ClassVar[frozenset[Kind]] = NUMBERS

    def _common(self, *operands: TensorType) -> TensorType:
        kinds = {operand.kind for operand in operands}
        if len(kinds) > 1:
            raise TypeMismatch(f"{self.name}: element kinds differ: {', '.join(map(str, operands))}")
        if any(operand.quantization for operand in operands):
            raise TypeMismatch(f"{self.name} does not take quantized elements: {', '.join(map(str, operands))}")
        kind = self.result_kind(operands[0].kind)
        return TensorType(kind, broadcast_shapes(*(operand.shape for operand in operands)))

    def result_kind(self, kind: Kind) -> Kind:
        """The kind of the result for operands of ``kind``; TypeMismatch if they have no such operation."""
        require_kind(self.name, kind, self.kinds)
        return kind

    def compute(self, *operands: Any) -> Any:
        """The meaning, for arrays of kinds that NumPy computes with; what overflows or is undefined stays silent."""
        raise NotImplementedError

    def evaluate(self, *operands: Array) -> Array:
        kind = self.result_kind(TensorType.of(operands[-1]).kind)
        with np.errstate(all="ignore"):
            return np.asarray(self.compute(*map(widened, operands))).astype(kind.dtype, copy=False)


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
    """A tensor of one repeated value; the value may be a dimension."""

    value: float | Expr
    kind: Kind = Kind.F32
    shape: tuple[Dim, ...] = ()

    def infer(self) -> TensorType:
        return TensorType(self.kind, self.shape)

    def evaluate(self) -> Array:
        if isinstance(self.value, Expr):
            raise Unsupported(f"{self.value} has no value yet; bind it (--dim NAME=VALUE)")
        return np.full(self.infer().extents, self.value, self.kind.dtype)


def scalar(e: Emitter[T], value: float | Expr, like: T) -> T:
    """A tensor of rank 0 that holds ``value`` in the kind of ``like``."""
    return e.add(Splat(value, e.type_of(like).kind))


@dataclass(frozen=True)
class Add(Binary):
    """``lhs + rhs``"""

    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.add(lhs, rhs)


@dataclass(frozen=True)
class Sub(Binary):
    """``lhs - rhs``"""

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.subtract(lhs, rhs)


@dataclass(frozen=True)
class Mul(Binary):
    """``lhs * rhs``"""

    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.multiply(lhs, rhs)


@dataclass(frozen=True)
class Div(Binary):
    """``lhs / rhs``; of integers, the quotient rounded toward zero, and zero where ``rhs`` is."""

    def compute(self, lhs: Array, rhs: Array) -> Array:
        if lhs.dtype.kind == "f":
            return np.divide(lhs, rhs)
        rounded_up = (np.remainder(lhs, rhs) != 0) & ((lhs < 0) != (rhs < 0))
        return np.asarray(np.floor_divide(lhs, rhs) + rounded_up.astype(lhs.dtype))


@dataclass(frozen=True)
class Pow(Binary):
    """``lhs ** rhs``; of integers with a negative exponent, the power rounded toward zero."""

    def compute(self, lhs: Array, rhs: Array) -> Array:
        if lhs.dtype.kind == "f":
            return np.power(lhs, rhs)
        of_units = np.where(lhs == 1, 1, np.where(np.abs(lhs) == 1, 1 - 2 * (rhs & 1), 0))
        return np.where(rhs < 0, of_units, np.power(lhs, np.maximum(rhs, 0)))


@dataclass(frozen=True)
class Max(Binary):
    """The larger of ``lhs`` and ``rhs``; NaN if one of them is."""

    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.maximum(lhs, rhs)


@dataclass(frozen=True)
class Min(Binary):
    """The smaller of ``lhs`` and ``rhs``; NaN if one of them is."""

    commutative = True

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.minimum(lhs, rhs)


@dataclass(frozen=True)
class Reciprocal(Composite):
    """``1 / input`` (ONNX Reciprocal)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Div(), scalar(e, 1, input), input)
