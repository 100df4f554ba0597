"""Element-wise functions of one operand: rounding, signs, roots, exponentials and trigonometry.

Angles are in radians. Outside its domain a function is NaN, as IEEE 754 has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glowpy_ir.ops.elementwise import FLOATS, SIGNED, Unary
from glowpy_ir.types import Array


class Function(Unary):
    """A function of a real number."""

    kinds = FLOATS


@dataclass(frozen=True)
class Neg(Unary):
    """``-input`` (ONNX Neg)"""

    kinds = FLOATS | SIGNED

    def compute(self, input: Array) -> Array:
        return np.negative(input)


@dataclass(frozen=True)
class Abs(Unary):
    """``|input|`` (ONNX Abs)"""

    def compute(self, input: Array) -> Array:
        return np.abs(input)


@dataclass(frozen=True)
class Sign(Unary):
    """1, 0 or -1 as ``input`` is above, at or below zero; NaN of NaN (ONNX Sign)"""

    def compute(self, input: Array) -> Array:
        return np.sign(input)


@dataclass(frozen=True)
class Floor(Function):
    """The largest integer that is not above ``input`` (ONNX Floor)"""

    def compute(self, input: Array) -> Array:
        return np.floor(input)


@dataclass(frozen=True)
class Ceil(Function):
    """The smallest integer that is not below ``input`` (ONNX Ceil)"""

    def compute(self, input: Array) -> Array:
        return np.ceil(input)


@dataclass(frozen=True)
class Round(Function):
    """The nearest integer, and of two the even one (ONNX Round)"""

    def compute(self, input: Array) -> Array:
        return np.rint(input)


@dataclass(frozen=True)
class Sqrt(Function):
    """The square root (ONNX Sqrt)"""

    def compute(self, input: Array) -> Array:
        return np.sqrt(input)


@dataclass(frozen=True)
class Exp(Function):
    """``e ** input`` (ONNX Exp)"""

    def compute(self, input: Array) -> Array:
        return np.exp(input)


@dataclass(frozen=True)
class Log(Function):
    """The natural logarithm (ONNX Log)"""

    def compute(self, input: Array) -> Array:
        return np.log(input)


@dataclass(frozen=True)
class Sin(Function):
    """The sine (ONNX Sin)"""

    def compute(self, input: Array) -> Array:
        return np.sin(input)


@dataclass(frozen=True)
class Cos(Function):
    """The cosine (ONNX Cos)"""

    def compute(self, input: Array) -> Array:
        return np.cos(input)


@dataclass(frozen=True)
class Tan(Function):
    """The tangent (ONNX Tan)"""

    def compute(self, input: Array) -> Array:
        return np.tan(input)


@dataclass(frozen=True)
class Asin(Function):
    """The inverse of the sine, in [-π/2, π/2] (ONNX Asin)"""

    def compute(self, input: Array) -> Array:
        return np.arcsin(input)


@dataclass(frozen=True)
class Acos(Function):
    """The inverse of the cosine, in [0, π] (ONNX Acos)"""

    def compute(self, input: Array) -> Array:
        return np.arccos(input)


@dataclass(frozen=True)
class Atan(Function):
    """The inverse of the tangent, in [-π/2, π/2] (ONNX Atan)"""

    def compute(self, input: Array) -> Array:
        return np.arctan(input)


@dataclass(frozen=True)
class Sinh(Function):
    """``(exp(input) - exp(-input)) / 2``, the hyperbolic sine (ONNX Sinh)"""

    def compute(self, input: Array) -> Array:
        return np.sinh(input)


@dataclass(frozen=True)
class Cosh(Function):
    """``(exp(input) + exp(-input)) / 2``, the hyperbolic cosine (ONNX Cosh)"""

    def compute(self, input: Array) -> Array:
        return np.cosh(input)


@dataclass(frozen=True)
class Tanh(Function):
    """``sinh(input) / cosh(input)``, the hyperbolic tangent (ONNX Tanh)"""

    def compute(self, input: Array) -> Array:
        return np.tanh(input)


@dataclass(frozen=True)
class Asinh(Function):
    """The inverse of the hyperbolic sine (ONNX Asinh)"""

    def compute(self, input: Array) -> Array:
        return np.arcsinh(input)


@dataclass(frozen=True)
class Acosh(Function):
    """The inverse of the hyperbolic cosine, not below zero (ONNX Acosh)"""

    def compute(self, input: Array) -> Array:
        return np.arccosh(input)


@dataclass(frozen=True)
class Atanh(Function):
    """The inverse of the hyperbolic tangent (ONNX Atanh)"""

    def compute(self, input: Array) -> Array:
        return np.arctanh(input)


@dataclass(frozen=True)
class Sigmoid(Function):
    """``1 / (1 + exp(-input))``, the logistic function (ONNX Sigmoid)"""

    def compute(self, input: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-input)))


@dataclass(frozen=True)
class Erf(Function):
    """``2 / sqrt(π)`` times the integral of ``exp(-t²)`` from 0 to ``input``, the error function (ONNX Erf)"""

    def compute(self, input: Array) -> Array:
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(input))
