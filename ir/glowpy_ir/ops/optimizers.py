"""Steps of training: a parameter and its statistics, of these and of a gradient.

``rate`` is the learning rate, ``step`` the number of steps before, both scalars of the parameter's kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.elementwise import Add, Div, Mul, Pow, Sub, scalar
from glowpy_ir.ops.functions import Sqrt
from glowpy_ir.ops.logic import Less, Select


def _mixed(e: Emitter[T], first: T, factor: float, second: T) -> T:
    """``first + factor * second``"""
    return e.add(Add(), first, e.add(Mul(), second, scalar(e, factor, second)))


def _is_later(e: Emitter[T], step: T) -> T:
    return e.add(Less(), scalar(e, 0, step), step)


@dataclass(frozen=True)
class Adagrad(Composite):
    """The new parameter and the new sum of squared gradients (ONNX Adagrad; Duchi, Hazan and Singer, JMLR 12, 2011)"""

    decay: float = 0.0
    epsilon: float = 1e-6
    shrinkage: float = 0.0

    def expand(self, e: Emitter[T], rate: T, step: T, parameter: T, gradient: T, squares: T) -> tuple[T, T]:
        slope = _mixed(e, gradient, self.shrinkage, parameter)
        total = e.add(Add(), squares, e.add(Mul(), slope, slope))
        pace = e.add(Div(), rate, _mixed(e, scalar(e, 1, step), self.decay, step))
        size = e.add(Add(), e.add(Sqrt(), total), scalar(e, self.epsilon, total))
        moved = e.add(Sub(), parameter, e.add(Div(), e.add(Mul(), pace, slope), size))
        return moved, total


@dataclass(frozen=True)
class Adam(Composite):
    """The new parameter, and the new running means of gradients and of their squares

    (ONNX Adam; Kingma and Ba, arXiv 1412.6980)
    """

    alpha: float = 0.9
    beta: float = 0.999
    epsilon: float = 0.0
    shrinkage: float = 0.0
    shrinkage_after: float = 0.0

    def expand(
        self, e: Emitter[T], rate: T, step: T, parameter: T, gradient: T, mean: T, squares: T
    ) -> tuple[T, T, T]:
        slope = _mixed(e, gradient, self.shrinkage, parameter)
        kept = e.add(Mul(), mean, scalar(e, self.alpha, mean))
        mean = _mixed(e, kept, 1 - self.alpha, slope)
        kept = e.add(Mul(), squares, scalar(e, self.beta, squares))
        squares = _mixed(e, kept, 1 - self.beta, e.add(Mul(), slope, slope))
        size = e.add(Add(), e.add(Sqrt(), squares), scalar(e, self.epsilon, squares))
        pace = e.add(Select(), _is_later(e, step), self._unbiased(e, rate, step), rate)
        moved = e.add(Sub(), parameter, e.add(Mul(), pace, e.add(Div(), mean, size)))
        return e.add(Mul(), moved, scalar(e, 1 - self.shrinkage_after, moved)), mean, squares

    def _unbiased(self, e: Emitter[T], rate: T, step: T) -> T:
        """The rate for means that began with zero."""
        one = scalar(e, 1, step)
        left = [e.add(Sub(), one, e.add(Pow(), scalar(e, base, step), step)) for base in (self.alpha, self.beta)]
        return e.add(Div(), e.add(Mul(), rate, e.add(Sqrt(), left[1])), left[0])


@dataclass(frozen=True)
class Momentum(Composite):
    """The new parameter and the new velocity, of the kind of Nesterov if ``nesterov`` (ONNX Momentum)"""

    alpha: float
    beta: float
    shrinkage: float
    nesterov: bool = False

    def expand(self, e: Emitter[T], rate: T, step: T, parameter: T, gradient: T, velocity: T) -> tuple[T, T]:
        slope = _mixed(e, gradient, self.shrinkage, parameter)
        damping = e.add(Select(), _is_later(e, step), scalar(e, self.beta, step), scalar(e, 1, step))
        velocity = _mixed(e, e.add(Mul(), slope, damping), self.alpha, velocity)
        way = _mixed(e, slope, self.alpha, velocity) if self.nesterov else velocity
        return e.add(Sub(), parameter, e.add(Mul(), rate, way)), velocity
