"""Activation functions: element-wise composites."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.elementwise import Add, Div, Max, Min, Mul, Sub, scalar
from glowpy_ir.ops.functions import Abs, Erf, Exp, Log, Neg, Sigmoid, Tanh
from glowpy_ir.ops.logic import Less, Select


@dataclass(frozen=True)
class Relu(Composite):
    """``max(input, 0)`` (ONNX Relu)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Max(), input, scalar(e, 0, input))


@dataclass(frozen=True)
class PRelu(Composite):
    """``input`` where it is not negative, else ``slope * input``; ``slope`` is broadcast (ONNX PRelu)"""

    def expand(self, e: Emitter[T], input: T, slope: T) -> T:
        is_negative = e.add(Less(), input, scalar(e, 0, input))
        return e.add(Select(), is_negative, e.add(Mul(), slope, input), input)


@dataclass(frozen=True)
class LeakyRelu(Composite):
    """``input`` where it is not negative, else ``alpha * input`` (ONNX LeakyRelu)"""

    alpha: float = 0.01

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(PRelu(), input, scalar(e, self.alpha, input))


@dataclass(frozen=True)
class ThresholdedRelu(Composite):
    """``input`` where it is above ``alpha``, else 0 (ONNX ThresholdedRelu)"""

    alpha: float = 1.0

    def expand(self, e: Emitter[T], input: T) -> T:
        is_above = e.add(Less(), scalar(e, self.alpha, input), input)
        return e.add(Select(), is_above, input, scalar(e, 0, input))


@dataclass(frozen=True)
class Clip(Composite):
    """``min(max(input, low), high)``; a limit that is None is none (ONNX Clip)"""

    low: float | None = None
    high: float | None = None

    def expand(self, e: Emitter[T], input: T) -> T:
        result = input
        if self.low is not None:
            result = e.add(Max(), result, scalar(e, self.low, input))
        if self.high is not None:
            result = e.add(Min(), result, scalar(e, self.high, input))
        return result


@dataclass(frozen=True)
class Elu(Composite):
    """``input`` where it is not negative, else ``alpha * (exp(input) - 1)`` (ONNX Elu)"""

    alpha: float = 1.0

    def expand(self, e: Emitter[T], input: T) -> T:
        below = e.add(Sub(), e.add(Exp(), input), scalar(e, 1, input))
        is_negative = e.add(Less(), input, scalar(e, 0, input))
        return e.add(Select(), is_negative, e.add(Mul(), scalar(e, self.alpha, input), below), input)


@dataclass(frozen=True)
class Selu(Composite):
    """``gamma * elu(input)`` (ONNX Selu; Klambauer et al., arXiv 1706.02515)"""

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Mul(), scalar(e, self.gamma, input), e.add(Elu(self.alpha), input))


@dataclass(frozen=True)
class Celu(Composite):
    """``input`` where it is not negative, else ``alpha * (exp(input / alpha) - 1)`` (ONNX Celu; arXiv 1704.07483)"""

    alpha: float = 1.0

    def expand(self, e: Emitter[T], input: T) -> T:
        alpha = scalar(e, self.alpha, input)
        curve = e.add(Mul(), alpha, e.add(Elu(), e.add(Div(), input, alpha)))
        return e.add(Select(), e.add(Less(), input, scalar(e, 0, input)), curve, input)


@dataclass(frozen=True)
class HardSigmoid(Composite):
    """``alpha * input + beta``, kept in [0, 1] (ONNX HardSigmoid)"""

    alpha: float = 0.2
    beta: float = 0.5

    def expand(self, e: Emitter[T], input: T) -> T:
        line = e.add(Add(), e.add(Mul(), scalar(e, self.alpha, input), input), scalar(e, self.beta, input))
        return e.add(Clip(0, 1), line)


@dataclass(frozen=True)
class HardSwish(Composite):
    """``input * max(0, min(1, input / 6 + 0.5))`` (ONNX HardSwish; Howard et al., arXiv 1905.02244)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Mul(), input, e.add(HardSigmoid(1 / 6, 0.5), input))


@dataclass(frozen=True)
class Swish(Composite):
    """``input * sigmoid(alpha * input)``, also known as SiLU (ONNX Swish; arXiv 1710.05941)"""

    alpha: float = 1.0

    def expand(self, e: Emitter[T], input: T) -> T:
        scaled = input if self.alpha == 1 else e.add(Mul(), scalar(e, self.alpha, input), input)
        return e.add(Mul(), input, e.add(Sigmoid(), scaled))


@dataclass(frozen=True)
class SwiGlu(Composite):
    """``swish(gate) * input`` (ONNX SwiGLU; Shazeer, arXiv 2002.05202)"""

    alpha: float = 1.0

    def expand(self, e: Emitter[T], gate: T, input: T) -> T:
        return e.add(Mul(), e.add(Swish(self.alpha), gate), input)


@dataclass(frozen=True)
class Softplus(Composite):
    """``log(exp(input) + 1)``, computed as ``max(input, 0) + log(1 + exp(-|input|))`` (ONNX Softplus)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        decay = e.add(Exp(), e.add(Neg(), e.add(Abs(), input)))
        correction = e.add(Log(), e.add(Add(), scalar(e, 1, input), decay))
        return e.add(Add(), e.add(Relu(), input), correction)


@dataclass(frozen=True)
class Softsign(Composite):
    """``input / (1 + |input|)`` (ONNX Softsign)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Div(), input, e.add(Add(), scalar(e, 1, input), e.add(Abs(), input)))


@dataclass(frozen=True)
class Mish(Composite):
    """``input * tanh(softplus(input))`` (ONNX Mish; Misra, arXiv 1908.08681)"""

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Mul(), input, e.add(Tanh(), e.add(Softplus(), input)))


@dataclass(frozen=True)
class Gelu(Composite):
    """``input / 2 * (1 + erf(input / sqrt(2)))`` (ONNX Gelu; Hendrycks and Gimpel, arXiv 1606.08415)

    If ``approximate``, with ``tanh(sqrt(2 / π) * (input + 0.044715 * input³))`` in place of the error function.
    """

    approximate: bool = False

    def expand(self, e: Emitter[T], input: T) -> T:
        if self.approximate:
            cube = e.add(Mul(), e.add(Mul(), input, input), input)
            bent = e.add(Add(), input, e.add(Mul(), scalar(e, 0.044715, input), cube))
            step = e.add(Tanh(), e.add(Mul(), scalar(e, math.sqrt(2 / math.pi), input), bent))
        else:
            step = e.add(Erf(), e.add(Mul(), scalar(e, math.sqrt(0.5), input), input))
        half = e.add(Mul(), scalar(e, 0.5, input), input)
        return e.add(Mul(), half, e.add(Add(), scalar(e, 1, input), step))


@dataclass(frozen=True)
class Shrink(Composite):
    """``input`` moved by ``bias`` toward zero where ``|input| > threshold``, else 0 (ONNX Shrink)"""

    threshold: float = 0.5
    bias: float = 0.0

    def expand(self, e: Emitter[T], input: T) -> T:
        zero, bias = scalar(e, 0, input), scalar(e, self.bias, input)
        is_high = e.add(Less(), scalar(e, self.threshold, input), input)
        is_low = e.add(Less(), input, scalar(e, -self.threshold, input))
        low = e.add(Select(), is_low, e.add(Add(), input, bias), zero)
        return e.add(Select(), is_high, e.add(Sub(), input, bias), low)
