"""What classifiers make of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.elementwise import FLOATS, Add, Div, Mul, Sub, require_kind, scalar
from glowpy_ir.ops.functions import Abs, Exp, Log, Neg, Sqrt
from glowpy_ir.ops.logic import Equal, Less, Select
from glowpy_ir.ops.reduction import ReduceMax, ReduceSum
from glowpy_ir.types import Array, TensorType

_WINITZKI = 0.147
_ZERO = 1e-7


@dataclass(frozen=True)
class SoftmaxOfNonZero(Composite):
    """``Softmax`` along the last dimension, in which zeros stay zero (ONNX ML post-transform SOFTMAX_ZERO)

    One half everywhere if all are zero.
    """

    def expand(self, e: Emitter[T], input: T) -> T:
        last = (e.type_of(input).rank - 1,)
        largest = e.add(ReduceMax(last), input)
        powers = e.add(Exp(), e.add(Sub(), input, largest))
        small = e.add(Mul(), input, e.add(Exp(), e.add(Neg(), largest)))
        counts = e.add(Less(), scalar(e, _ZERO, input), e.add(Abs(), input))
        chosen = e.add(Select(), counts, powers, small)
        total = e.add(ReduceSum(last), chosen)
        empty = e.add(Equal(), total, scalar(e, 0, total))
        return e.add(Select(), empty, scalar(e, 0.5, input), e.add(Div(), chosen, total))


@dataclass(frozen=True)
class Probit(Composite):
    """The inverse of the normal distribution's cumulative one (ONNX ML post-transform PROBIT)

    By an approximation of the inverse error function that is off by 0.2% at most (Winitzki, 2008).
    """

    def expand(self, e: Emitter[T], input: T) -> T:
        one, zero = scalar(e, 1, input), scalar(e, 0, input)
        x = e.add(Sub(), e.add(Mul(), input, scalar(e, 2, input)), one)
        log = e.add(Log(), e.add(Mul(), e.add(Sub(), one, x), e.add(Add(), one, x)))
        half = e.add(Mul(), log, scalar(e, 0.5, input))
        v = e.add(Add(), half, scalar(e, 2 / (math.pi * _WINITZKI), input))
        root = e.add(Sqrt(), e.add(Sub(), e.add(Mul(), v, v), e.add(Mul(), log, scalar(e, 1 / _WINITZKI, input))))
        size = e.add(Mul(), e.add(Sqrt(), e.add(Sub(), root, v)), scalar(e, math.sqrt(2), input))
        return e.add(Select(), e.add(Less(), x, zero), e.add(Neg(), size), size)


@dataclass(frozen=True)
class CouplePairs(Primitive):
    """Probabilities of classes, of the probabilities that one is right and not the other, for each pair of classes

    ``[rows, pairs]`` makes ``[rows, classes]``; pairs are in the order (0, 1), (0, 2), …, (1, 2), …. By the second
    method of Wu, Lin and Weng ("Probability estimates for multi-class classification by pairwise coupling", JMLR 5,
    2004), which minimises a quadratic form one class after the other, as LIBSVM does and as far as it does.
    """

    classes: int
    least: ClassVar[float] = 1e-7
    """What is less likely counts as so likely."""

    @property
    def rounds(self) -> int:
        """How often all classes are gone through at most."""
        return max(100, self.classes)

    @property
    def tolerance(self) -> float:
        """How far from each other the slopes of the form may be at last."""
        return 0.005 / self.classes

    def infer(self, input: TensorType) -> TensorType:
        require_kind(self.name, input.kind, FLOATS)
        if self.classes < 2 or input.rank != 2 or input.shape[1] != self.classes * (self.classes - 1) // 2:
            raise TypeMismatch(f"{input} are not the pairs of {self.classes} classes")
        return input.with_shape(input.shape[0], self.classes)

    def evaluate(self, input: Array) -> Array:
        k, rows = self.classes, len(input)
        above = np.triu_indices(k, 1)
        wins = np.zeros((rows, k, k))
        wins[:, *above] = np.clip(input.astype(np.float64), self.least, 1 - self.least)
        wins.transpose(0, 2, 1)[:, *above] = 1 - wins[:, *above]
        form = -wins * wins.transpose(0, 2, 1)
        form[:, np.arange(k), np.arange(k)] = (wins**2).sum(1)
        chances, open_rows = np.full((rows, k), 1 / k), np.arange(rows)
        for _ in range(self.rounds):
            q, p = form[open_rows], chances[open_rows]
            slopes = np.einsum("rij,rj->ri", q, p)
            value = (p * slopes).sum(1)
            unsettled = np.abs(slopes - value[:, None]).max(1, initial=0) >= self.tolerance
            open_rows, q, p = open_rows[unsettled], q[unsettled], p[unsettled]
            if not open_rows.size:
                break
            for t in range(k):
                slopes = np.einsum("rij,rj->ri", q, p)
                p[:, t] += ((p * slopes).sum(1) - slopes[:, t]) / q[:, t, t]
                p /= p.sum(1, keepdims=True)
            chances[open_rows] = p
        return chances.astype(input.dtype)
