"""Conversion from one element kind to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import Unary, widened
from glowpy_ir.types import Array, Kind, TensorType

SMALL_FLOATS = frozenset({Kind.F8E4M3FN, Kind.F8E4M3FNUZ, Kind.F8E5M2, Kind.F8E5M2FNUZ, Kind.F4E2M1})
SMALL_INTEGERS = frozenset({Kind.I4, Kind.U4, Kind.I2, Kind.U2})


@dataclass(frozen=True)
class Cast(Unary):
    """The elements as elements of kind ``to`` (ONNX Cast)

    - To floats: rounded to the nearest, of two the even one. What is too large becomes infinite; in smaller floats the
      largest number instead, or, without ``saturate``, infinite or NaN as the kind has it.
    - Floats to integers: rounded toward zero; what is out of range becomes the nearest number in it, and NaN zero.
      To four-bit integers: by way of i8, of which the low bits are kept.
    - Integers to integers: the low bits are kept.
    - To booleans: whether the element is not zero.
    - To f8e8m0, which are powers of two: not by this operator, but by CastToPower, which says how to round.
    - To and from strings: decimal notation; UsageError for a string that is no number, or none in range.
    """

    to: Kind
    saturate: bool = True
    kinds = frozenset(Kind)

    def result_kind(self, kind: Kind) -> Kind:
        if self.to is Kind.F8E8M0:
            raise TypeMismatch("Cast does not make f8e8m0; CastToPower does")
        return self.to

    def evaluate(self, *operands: Array) -> Array:
        (input,) = operands
        source = TensorType.of(input).kind
        if source is Kind.STRING and self.to is not Kind.STRING:
            input = _numbers(input, self.to)
            source = TensorType.of(input).kind
        with np.errstate(all="ignore"):
            match self.to:
                case _ if source is self.to:
                    return input
                case _ if source in SMALL_INTEGERS:  # NumPy converts them to and from few others
                    return self.evaluate(input.astype(np.int8))
                case Kind.STRING:
                    return widened(input).astype(np.str_).astype(object)
                case Kind.BOOL:
                    return np.asarray(widened(input) != 0)
                case _ if self.to in SMALL_INTEGERS:
                    return Cast(Kind.I8).evaluate(input).astype(self.to.dtype)
                case _ if source.is_float and self.to.is_integer:
                    return _to_integers(widened(input), self.to)
                case _ if self.to in SMALL_FLOATS:
                    return self._to_small_float(_single(input))
                case Kind.BF16:
                    return _single(input).astype(self.to.dtype)
                case _:
                    return input.astype(self.to.dtype)

    def _to_small_float(self, input: Array) -> Array:
        return (np.clip(input, *self.to.limits) if self.saturate else input).astype(self.to.dtype)


@dataclass(frozen=True)
class BitCast(Primitive):
    """The same bits taken for an element of kind ``to``, which has as many (ONNX BitCast)"""

    to: Kind

    def infer(self, input: TensorType) -> TensorType:
        whole = frozenset(Kind) - SMALL_INTEGERS - {Kind.STRING, Kind.F4E2M1}
        if not {input.kind, self.to} <= whole or input.kind.nbytes != self.to.nbytes:
            raise TypeMismatch(f"the bits of {input.kind.value} are not those of {self.to.value}")
        return input.with_kind(self.to)

    def evaluate(self, input: Array) -> Array:
        return input.view(self.to.dtype)


def _single(input: Array) -> Array:
    """Numbers as f32, of f64 between two of them the one whose last bit is set.

    Rounded once more to a shorter kind, that is what rounding the f64 would have given (Boldo and Melquiond, "When
    double rounding is odd", 2005).
    """
    single = input.astype(np.float32)
    if input.dtype != np.float64:
        return single
    back = single.astype(np.float64)
    beyond, inexact = np.abs(back) > np.abs(input), (back < input) | (back > input)
    odd: Array = ((single.view(np.uint32) - beyond.astype(np.uint32)) | inexact).view(np.float32)
    return odd


def _to_integers(input: Array, to: Kind) -> Array:
    low, high = to.limits
    too_small, too_large = input <= float(low), input >= float(high)
    inside = np.where(too_small | too_large | np.isnan(input), 0, input)
    via: Any = np.uint64 if to is Kind.U64 else np.int64
    chosen: Array = np.select([too_small, too_large], [via(low), via(high)], inside.astype(via))
    return chosen.astype(to.dtype)


def _numbers(input: Array, to: Kind) -> Array:
    def number(text: str) -> float:
        try:
            value = int(text) if to.is_integer else float(text)
        except ValueError:
            raise UsageError(f"cannot cast {text!r} to {to.value}: it is no number") from None
        if to.is_integer and not to.limits[0] <= value <= to.limits[1]:
            raise UsageError(f"cannot cast {text!r} to {to.value}: it is out of range")
        return value

    kind = to if to.is_integer else Kind.F64
    flat = [number(str(text)) for text in input.ravel()]
    return np.array(flat, kind.dtype).reshape(input.shape)
