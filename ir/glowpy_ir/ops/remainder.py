"""What division leaves over, with the sign of either operand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.elementwise import Add, Binary, scalar
from glowpy_ir.ops.logic import And, Equal, Less, Not, Select, Xor
from glowpy_ir.types import Array


@dataclass(frozen=True)
class Remainder(Binary):
    """What is left of ``lhs`` after division by ``rhs``, with the sign of ``lhs`` (ONNX Mod with fmod=1).

    Where ``rhs`` is zero the result is NaN, of integers zero.
    """

    def compute(self, lhs: Array, rhs: Array) -> Array:
        return np.fmod(lhs, rhs)


@dataclass(frozen=True)
class Mod(Composite):
    """What is left of ``lhs`` after division by ``rhs``, with the sign of ``rhs`` (ONNX Mod with fmod=0)

    Where ``rhs`` is zero the result is NaN, of integers zero. A result of zero may have either sign.
    """

    def expand(self, e: Emitter[T], lhs: T, rhs: T) -> T:
        remainder = e.add(Remainder(), lhs, rhs)
        zero = scalar(e, 0, lhs)
        signs_differ = e.add(Xor(), e.add(Less(), remainder, zero), e.add(Less(), rhs, zero))
        is_wrong = e.add(And(), signs_differ, e.add(Not(), e.add(Equal(), remainder, zero)))
        return e.add(Select(), is_wrong, e.add(Add(), remainder, rhs), remainder)
