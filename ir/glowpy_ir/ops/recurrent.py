"""Recurrent networks: cells that carry a state from one step of a sequence to the next.

T is the number of steps, N that of sequences, H that of hidden units, G that of a cell's gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic

import numpy as np

from glowpy_ir.dims import Dim, is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import OnArrays
from glowpy_ir.op import Composite, Emitter, Op, Primitive, T
from glowpy_ir.ops.activation import Clip
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Div, Mul, Sub, require_kind, scalar
from glowpy_ir.ops.functions import Round, Sigmoid, Tanh
from glowpy_ir.ops.logic import Equal, Select
from glowpy_ir.types import Array, Kind, TensorType

SIGMOID, TANH = Sigmoid(), Tanh()


@dataclass(frozen=True)
class Affine(Composite):
    """``alpha * input + beta``"""

    alpha: float = 1.0
    beta: float = 0.0

    def expand(self, e: Emitter[T], input: T) -> T:
        return e.add(Add(), e.add(Mul(), scalar(e, self.alpha, input), input), scalar(e, self.beta, input))


@dataclass(frozen=True)
class ScaledTanh(Composite):
    """``alpha * tanh(beta * input)``"""

    alpha: float = 1.0
    beta: float = 1.0

    def expand(self, e: Emitter[T], input: T) -> T:
        bent = e.add(Tanh(), e.add(Mul(), scalar(e, self.beta, input), input))
        return e.add(Mul(), scalar(e, self.alpha, input), bent)


@dataclass(frozen=True)
class Given(Generic[T]):
    """What the units of a cell have at a stage."""

    outside: Sequence[T]
    """What comes from outside, for each gate of the stage."""
    products: Sequence[T]
    """The product for each gate of the stage."""
    values: Sequence[T]
    parameters: Sequence[T]


@dataclass(frozen=True)
class Cell:
    """One step of a recurrent network, for each hidden unit by itself: element-wise operators on its gates.

    A step has one or more *stages*. In each, one value of all units (in the first stage the hidden state) is
    multiplied by the weights of that stage's gates; what the units make of the products is what the next stage, or
    the next step, begins with. The sum of a gate is kept within ``clip`` of zero before its activation function.
    """

    clip: float | None = None

    gates: ClassVar[int]
    """How many vectors of H numbers a step takes from the outside."""
    states: ClassVar[int]
    """How many vectors of H numbers a step leaves to the next: first the hidden state."""

    @property
    def stages(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the gates that each stage computes."""
        return (tuple(range(self.gates)),)

    @property
    def own_biases(self) -> int:
        """How many gates, the last ones, take a bias of their product apart from what comes from outside."""
        return 0

    @property
    def peepholes(self) -> int:
        """How many vectors of weights on the units' own state there are."""
        return 0

    @property
    def parameters(self) -> int:
        """How many vectors of constants units have: biases and peepholes."""
        return self.own_biases + self.peepholes

    def advance(self, e: Emitter[T], stage: int, given: Given[T]) -> tuple[T, ...]:
        """The values after a stage, of those before it; the first of them is what is multiplied next.

        Before the first stage, and after the last, they are the states. Before the last they end with the states
        that the step began with.
        """
        raise NotImplementedError

    def _activate(self, e: Emitter[T], function: Op, total: T) -> T:
        return e.add(function, total if self.clip is None else e.add(Clip(-self.clip, self.clip), total))


@dataclass(frozen=True)
class RnnCell(Cell):
    """``h = f(x + h R)`` (ONNX RNN; Elman, "Finding structure in time", 1990)"""

    f: Op = TANH

    gates = 1
    states = 1

    def advance(self, e: Emitter[T], stage: int, given: Given[T]) -> tuple[T, ...]:
        return (self._activate(e, self.f, e.add(Add(), given.outside[0], given.products[0])),)


@dataclass(frozen=True)
class GruCell(Cell):
    """Gates z (update), r (reset) and n (new): ``h = (1 - z) n + z h`` (ONNX GRU; Cho et al., arXiv 1406.1078)

    ``z`` and ``r`` are ``f(x + h R)``, and ``n = g(x + (r h) R)``; if ``reset_after``, ``n = g(x + r (h R + b))`` with
    a bias of its own.
    """

    f: Op = SIGMOID
    g: Op = TANH
    reset_after: bool = False

    gates = 3
    states = 1

    @property
    def stages(self) -> tuple[tuple[int, ...], ...]:
        return ((0, 1, 2),) if self.reset_after else ((0, 1), (2,))

    @property
    def own_biases(self) -> int:
        return int(self.reset_after)

    def advance(self, e: Emitter[T], stage: int, given: Given[T]) -> tuple[T, ...]:
        if stage == 0:
            sums = (e.add(Add(), x, p) for x, p in zip(given.outside[:2], given.products, strict=False))
            z, r = (self._activate(e, self.f, total) for total in sums)
            (hidden,) = given.values
            if not self.reset_after:
                return e.add(Mul(), r, hidden), z, hidden
            inner = e.add(Mul(), r, e.add(Add(), given.products[2], given.parameters[0]))
        else:
            _, z, hidden = given.values
            inner = given.products[0]
        n = self._activate(e, self.g, e.add(Add(), given.outside[-1], inner))
        rest = e.add(Sub(), scalar(e, 1, z), z)
        return (e.add(Add(), e.add(Mul(), rest, n), e.add(Mul(), z, hidden)),)


@dataclass(frozen=True)
class LstmCell(Cell):
    """Gates i (input), o (output), f (forget) and n (new): ``c = f c + i n``, ``h = o h(c)``

    The first three are ``f(x + h R)``, the last is ``g(x + h R)``. With peepholes, i and f also see the old c times a
    weight, o the new one. If ``coupled``, the forget gate is ``1 - i`` (ONNX LSTM; Hochreiter and Schmidhuber, "Long
    short-term memory", 1997; Gers and Schmidhuber, "Recurrent nets that time and count", 2000).
    """

    f: Op = SIGMOID
    g: Op = TANH
    h: Op = TANH
    coupled: bool = False
    has_peepholes: bool = False

    gates = 4
    states = 2

    @property
    def peepholes(self) -> int:
        return 3 if self.has_peepholes else 0

    def advance(self, e: Emitter[T], stage: int, given: Given[T]) -> tuple[T, ...]:
        sums = [e.add(Add(), x, p) for x, p in zip(given.outside, given.products, strict=True)]
        _, memory = given.values

        def gate(number: int, seen: T) -> T:
            total = sums[number]
            if given.parameters:
                total = e.add(Add(), total, e.add(Mul(), given.parameters[number], seen))
            return self._activate(e, self.f, total)

        i = gate(0, memory)
        f = e.add(Sub(), scalar(e, 1, i), i) if self.coupled else gate(2, memory)
        n = self._activate(e, self.g, sums[3])
        memory = e.add(Add(), e.add(Mul(), f, memory), e.add(Mul(), i, n))
        return e.add(Mul(), gate(1, memory), e.add(self.h, memory)), memory


@dataclass(frozen=True)
class Recurrence(Primitive):
    """A cell at work on sequences, from the first step to the last, or from the last to the first if ``reverse``.

    ``input [T, N, G * H]`` is what the gates receive from outside, ``weights [H, G * H]`` what a hidden state is
    multiplied by. If these are of i16, their ``scales [G * H]`` follow, and what is multiplied is quantized first, that
    of all sequences with one scale, see ``steps_of``. There follow the initial states ``[N, H]``; if the cell has
    parameters, these ``[P, H]``; and if sequences are ``ragged``, their lengths ``[N]`` as i32. Results: the hidden
    states ``[T, N, H]``, zero behind the end of a sequence, and each final state ``[N, H]``; of a sequence of length 0
    that is the initial one.
    """

    cell: Cell
    reverse: bool = False
    ragged: bool = False

    def infer(self, input: TensorType, weights: TensorType, *rest: TensorType) -> tuple[TensorType, ...]:
        if input.rank != 3 or weights.rank != 2:
            raise TypeMismatch(f"{self.name} takes sequences and a matrix, not {input} and {weights}")
        steps, batch, _ = input.shape
        hidden, columns = weights.shape
        is_quantized = weights.kind is Kind.I16
        require_kind(self.name, input.kind, frozenset({Kind.F32} if is_quantized else {Kind.F32, Kind.F64}))
        cell = self.cell
        self._require(input, input.kind, steps, batch, columns)
        self._require(weights, Kind.I16 if is_quantized else input.kind, hidden, cell.gates * hidden)
        if len(rest) != is_quantized + cell.states + (cell.parameters > 0) + self.ragged:
            raise TypeMismatch(f"{self.name} of {cell} does not take {len(rest)} operands besides input and weights")
        if is_quantized:
            self._require(rest[0], input.kind, columns)
            rest = rest[1:]
        for state in rest[: cell.states]:
            self._require(state, input.kind, batch, hidden)
        if cell.parameters:
            self._require(rest[cell.states], input.kind, cell.parameters, hidden)
        if self.ragged:
            self._require(rest[-1], Kind.I32, batch)
        return input.with_shape(steps, batch, hidden), *(input.with_shape(batch, hidden) for _ in range(cell.states))

    def _require(self, found: TensorType, kind: Kind, *shape: Dim) -> None:
        wanted = TensorType(kind, shape)
        known = is_static((*found.shape, *shape))
        if found.kind is not kind or found.rank != len(shape) or (known and found.shape != shape):
            raise TypeMismatch(f"{self.name} of {self.cell.gates} gates needs {wanted} where it is given {found}")

    def evaluate(self, input: Array, weights: Array, *rest: Array) -> tuple[Array, ...]:
        cell, hidden = self.cell, weights.shape[0]
        scales, rest = (rest[0], rest[1:]) if weights.dtype == np.int16 else (None, rest)
        states: Sequence[Array] = rest[: cell.states]
        parameters = tuple(rest[cell.states]) if cell.parameters else ()
        result = np.zeros((*input.shape[:2], hidden), input.dtype)
        order = range(len(input))
        for t in reversed(order) if self.reverse else order:
            values = states
            for stage, gates in enumerate(cell.stages):
                columns = [slice(gate * hidden, (gate + 1) * hidden) for gate in gates]
                outside = [input[t][:, column] for column in columns]
                product = _product(values[0], weights, scales)
                products = [product[:, column] for column in columns]
                values = cell.advance(OnArrays(), stage, Given(outside, products, values, parameters))
            result[t] = values[0]
            if self.ragged:
                is_inside = (t < rest[-1])[:, np.newaxis]
                result[t] = np.where(is_inside, values[0], 0)
                values = tuple(np.where(is_inside, new, old) for new, old in zip(values, states, strict=True))
            states = values
        return result, *states


def scale_and_zero(e: Emitter[T], low: T, high: T) -> tuple[T, T]:
    """The scale and the zero (f32) of numbers from ``low`` to ``high``, zero among them, as integers from 0 to 255."""
    step = e.add(Div(), e.add(Sub(), high, low), scalar(e, 255, low))
    scale = e.add(Select(), e.add(Equal(), low, high), scalar(e, 1, low), step)
    return scale, e.add(Round(), e.add(Div(), e.add(Sub(), scalar(e, 0, low), low), scale))


def stored_as(e: Emitter[T], input: T, scale: T, zero: T) -> T:
    """``input`` as integers from 0 to 255, in f32: rounded, of two to the even one."""
    return e.add(Clip(0, 255), e.add(Add(), e.add(Round(), e.add(Div(), input, scale)), zero))


def steps_of(e: Emitter[T], input: T, scale: T, zero: T) -> T:
    """``input`` as numbers of steps (i16): how far what is stored lies from ``zero``."""
    return e.add(Cast(Kind.I16), e.add(Sub(), stored_as(e, input, scale, zero), zero))


def _product(value: Array, weights: Array, scales: Array | None) -> Array:
    """``value @ weights``; by quantized weights, after the ``value`` is quantized, too."""
    if scales is None:
        return np.asarray(np.matmul(value, weights))
    scale, zero = scale_and_zero(OnArrays(), np.asarray(value.min(initial=0)), np.asarray(value.max(initial=0)))
    steps = steps_of(OnArrays(), value, scale, zero)
    total = np.matmul(steps.astype(np.float64), weights.astype(np.float64))
    return np.asarray(total.astype(np.float32) * (scale * scales))
