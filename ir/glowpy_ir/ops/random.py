"""Random numbers that are computed from their place: element i of a tensor is a function of i and of a seed.

There is no state, so that every backend gives the same numbers, in any order and on any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glowpy_ir.dims import Dim, product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Iota, RunningSum
from glowpy_ir.ops.elementwise import FLOATS, Add, Mul, Splat, Sub, require_kind, scalar
from glowpy_ir.ops.functions import Cos, Exp, Log, Sqrt
from glowpy_ir.ops.logic import Less, LessOrEqual, ShiftRight, Xor
from glowpy_ir.ops.movement import Reshape, full_slice
from glowpy_ir.ops.reduction import ReduceMax, ReduceSum
from glowpy_ir.types import Kind

_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
"""SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), in the variant
of the mixing function called Mix13: a Weyl sequence of step gamma, each of its members scrambled."""

_PRECISION = {Kind.F32: 24, Kind.F64: 53}
"""The random bits that go into a number."""


def _scramble(number: int) -> int:
    for shift, factor in _ROUNDS:
        number = ((number ^ (number >> shift)) * factor) & _MASK
    return number ^ (number >> _LAST_SHIFT)


@dataclass(frozen=True)
class RandomBits(Composite):
    """64 random bits for each element, as u64; each ``stream`` of a ``seed`` is another sequence."""

    shape: tuple[Dim, ...]
    seed: int
    stream: int = 0

    def expand(self, e: Emitter[T]) -> T:
        start = _scramble((_scramble(self.seed & _MASK) + self.stream * _GAMMA) & _MASK)

        def number(value: int) -> T:
            return e.add(Splat(value, Kind.U64))

        steps = e.add(Mul(), e.add(Iota(product(self.shape), Kind.U64)), number(_GAMMA))
        bits = e.add(Add(), steps, number(start))
        for shift, factor in _ROUNDS:
            bits = e.add(Mul(), e.add(Xor(), bits, e.add(ShiftRight(), bits, number(shift))), number(factor))
        return e.add(Reshape(self.shape), e.add(Xor(), bits, e.add(ShiftRight(), bits, number(_LAST_SHIFT))))


def _unit(e: Emitter[T], shape: tuple[Dim, ...], seed: int, stream: int, kind: Kind) -> T:
    """Multiples of ``2 ** -precision`` in [0, 1), equally likely."""
    precision = _PRECISION[kind]
    bits = e.add(RandomBits(shape, seed, stream))
    top = e.add(Cast(kind), e.add(ShiftRight(), bits, e.add(Splat(64 - precision, Kind.U64))))
    return e.add(Mul(), top, e.add(Splat(2.0**-precision, kind)))


def _computed_in(name: str, kind: Kind) -> Kind:
    require_kind(name, kind, FLOATS)
    return kind if kind in _PRECISION else Kind.F32


@dataclass(frozen=True)
class RandomUniform(Composite):
    """Numbers that are equally likely between ``low`` and ``high`` (ONNX RandomUniform)"""

    shape: tuple[Dim, ...]
    seed: int
    low: float = 0.0
    high: float = 1.0
    kind: Kind = Kind.F32

    def expand(self, e: Emitter[T]) -> T:
        kind = _computed_in(self.name, self.kind)
        unit = _unit(e, self.shape, self.seed, 0, kind)
        wide = e.add(Mul(), unit, scalar(e, self.high - self.low, unit))
        return e.add(Cast(self.kind), e.add(Add(), wide, scalar(e, self.low, unit)))


@dataclass(frozen=True)
class RandomNormal(Composite):
    """Normally distributed numbers of a mean and a standard deviation (ONNX RandomNormal)

    By the transform of Box and Muller (1958): the radius from one uniform number, the angle from another.
    """

    shape: tuple[Dim, ...]
    seed: int
    mean: float = 0.0
    deviation: float = 1.0
    kind: Kind = Kind.F32

    def expand(self, e: Emitter[T]) -> T:
        kind = _computed_in(self.name, self.kind)
        radius, angle = (_unit(e, self.shape, self.seed, stream, kind) for stream in range(2))
        above_zero = e.add(Sub(), scalar(e, 1, radius), radius)
        length = e.add(Sqrt(), e.add(Mul(), e.add(Log(), above_zero), scalar(e, -2, radius)))
        normal = e.add(Mul(), length, e.add(Cos(), e.add(Mul(), angle, scalar(e, 2 * math.pi, angle))))
        moved = e.add(Add(), e.add(Mul(), normal, scalar(e, self.deviation, normal)), scalar(e, self.mean, normal))
        return e.add(Cast(self.kind), moved)


@dataclass(frozen=True)
class Bernoulli(Composite):
    """1 with the probability that ``input`` gives, else 0, as ``kind`` (ONNX Bernoulli)"""

    seed: int
    kind: Kind = Kind.F32

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        kind = _computed_in(self.name, type.kind)
        unit = _unit(e, type.shape, self.seed, 0, kind)
        return e.add(Cast(self.kind), e.add(Less(), unit, e.add(Cast(kind), input)))


@dataclass(frozen=True)
class Multinomial(Composite):
    """Classes drawn at random, ``count`` for each row of logarithms of probabilities, as ``kind`` (ONNX Multinomial)

    ``[n, classes]`` makes ``[n, count]``. The probabilities of a row need not add up to one.
    """

    count: int
    seed: int
    kind: Kind = Kind.I32

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        kind = _computed_in(self.name, type.kind)
        if type.rank != 2 or self.kind not in (Kind.I32, Kind.I64):
            raise TypeMismatch(f"{self.name} draws i32 or i64 from rows of classes, not {self.kind.value} from {type}")
        rows, classes = type.shape
        if self.count < 0 or classes == 0:
            raise TypeMismatch(f"{self.name} cannot draw {self.count} of the classes of {type}")
        logits = e.add(Cast(kind), input)
        likely = e.add(Exp(), e.add(Sub(), logits, e.add(ReduceMax((1,)), logits)))
        below = e.add(RunningSum(1), likely)
        total = e.add(full_slice((rows, classes), 1, classes - 1, 1), below)
        drawn = e.add(Mul(), _unit(e, (rows, self.count), self.seed, 0, kind), total)
        within = e.add(full_slice((rows, classes), 1, 0, classes - 1), below)  # the last class is what is left
        limits = e.add(Reshape((rows, 1, classes - 1)), within)
        passed = e.add(LessOrEqual(), limits, e.add(Reshape((rows, self.count, 1)), drawn))
        return e.add(ReduceSum((2,), False), e.add(Cast(self.kind), passed))
