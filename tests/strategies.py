"""Random graphs that are always valid, and vary what passes branch on.

Shapes have ones, zeros of padding and equal extents; constants are one number, broadcast or full; values are used
more than once; operators that move come in chains. Numbers are of few bits and functions are kept in their domains,
so that a graph and what it is rewritten to agree closely.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import Clip, LeakyRelu, Relu, Swish
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Div, Max, Min, Mul, Pow, Splat, Sub
from glowpy_ir.ops.functions import Abs, Neg, Sigmoid, Sqrt, Tanh
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import Less, Select
from glowpy_ir.ops.movement import Concat, Expand, Pad, Reshape, Slice, Transpose
from glowpy_ir.ops.normalization import BatchNormalization
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.text import print_graph
from glowpy_ir.types import Array, Kind, TensorType


class Shown(Graph):
    """A graph that hypothesis shows as text when a test fails."""

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(print_graph(self))


SHAPES = ((), (1,), (3,), (2, 3), (1, 3), (3, 1), (6,), (2, 3, 4), (2, 1, 4), (1, 2, 4, 4), (2, 2, 3, 4), (1, 4, 1, 1))

NUMBERS = (-2.0, -1.0, -0.0, 0.0, 0.25, 0.5, 1.0, 1.0, 2.0, 3.0)
"""What constants are made of: the numbers that rules look for, and others."""


class Growth:
    """A graph that grows by one random node at a time."""

    def __init__(self, draw: st.DrawFn, kind: Kind) -> None:
        self.draw = draw
        self.kind = kind
        self.graph = Shown("random")
        self.builder = Builder(self.graph)
        shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
        self.values: list[Value] = [
            self.builder.placeholder(name, TensorType(kind, shape)) for name, shape in zip("xyz", shapes, strict=False)
        ]

    def grow(self) -> None:
        """Add a random node, if its operands happen to fit."""
        step = self.draw(st.sampled_from(FLOAT_STEPS if self.kind.is_float else STEPS))
        try:
            step(self)
        except TypeMismatch:
            return

    def add(self, op: Op, *inputs: Value) -> Value:
        self.values.append(self.builder.add(op, *inputs))
        return self.values[-1]

    def pick(self, rank: int | None = None) -> Value:
        """A value that is there, more often a late one; of some rank, if that is given."""
        fitting = [value for value in self.values if rank in (None, value.type.rank)]
        assume(fitting)
        late = fitting[-3:]
        return self.draw(st.sampled_from(late) | st.sampled_from(fitting))

    def number(self) -> float:
        number = self.draw(st.sampled_from(NUMBERS))
        return number if self.kind.is_float else int(number)

    def known(self, like: Value) -> Value:
        """A constant or a splat that broadcasts to ``like``, or sometimes beyond it."""
        shape = tuple(n if self.draw(st.booleans()) else 1 for n in like.type.extents)
        shape = shape[self.draw(st.integers(0, len(shape))) :] if set(shape) <= {1} else shape
        match self.draw(st.integers(0, 3)):
            case 0:
                return self.builder.add(Splat(self.number(), self.kind))
            case 1:
                return self.builder.add(Splat(self.number(), self.kind, shape))
            case 2:
                return self.builder.constant(np.full(shape, self.number(), self.kind.dtype))
            case _:
                return self.builder.constant(self.array(shape))

    def array(self, shape: tuple[int, ...]) -> Array:
        numbers = [self.number() for _ in range(math.prod(shape))] if math.prod(shape) <= 8 else self._many(shape)
        return np.array(numbers, self.kind.dtype).reshape(shape)

    def _many(self, shape: tuple[int, ...]) -> list[float]:
        rng = np.random.default_rng(self.draw(st.integers(0, 9)))
        return [float(n) for n in rng.integers(-4, 5, math.prod(shape)) / (2 if self.kind.is_float else 1)]

    def binary(self) -> None:
        op = self.draw(st.sampled_from((Add(), Sub(), Mul(), Max(), Min())))
        self.add(op, *self.draw(st.permutations((self.pick(), self.pick()))))

    def with_known(self) -> None:
        op = self.draw(st.sampled_from((Add(), Sub(), Mul(), Max(), Min())))
        x = self.pick()
        self.add(op, *self.draw(st.permutations((x, self.known(x)))))

    def unary(self) -> None:
        x = self.pick()
        self.add(self.draw(st.sampled_from((Neg(), Abs(), Relu(), Clip(0, 2)))), x)

    def choose(self) -> None:
        x, y = self.pick(), self.pick()
        if not self.kind.is_float:  # which of two floats is smaller may hang on rounding
            self.add(Select(), self.builder.add(Less(), x, y), x, y)

    def function(self) -> None:
        x = self.pick()
        op = self.draw(st.sampled_from((Sigmoid(), Tanh(), Swish(), LeakyRelu(0.5), Sqrt())))
        self.add(op, self.builder.add(Abs(), x) if op == Sqrt() else x)

    def divide(self) -> None:
        x = self.pick()
        divisor = self.draw(st.sampled_from((-2.0, 1.0, 3.0, 4.0, 0.5)))
        self.add(Div(), x, self.builder.add(Splat(divisor, self.kind)))

    def power(self) -> None:
        x = self.builder.add(Abs(), self.pick())
        self.add(Pow(), x, self.builder.add(Splat(self.draw(st.sampled_from((0.5, 1.0, 2.0, 3.0))), self.kind)))

    def cast(self) -> None:
        wide = Kind.F64 if self.kind.is_float else Kind.I64
        self.add(Cast(self.kind), self.builder.add(Cast(wide), self.pick()))

    def reshape(self) -> None:
        x = self.pick()
        count = x.type.count
        first = self.draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0]))
        rest = count // first
        shapes = [
            (count,),
            (first, rest),
            (first, 1, rest),
            (1, first, rest),
            (1, count),
            x.type.shape,
            (first, rest, 1, 1),
        ]
        self.add(Reshape(self.draw(st.sampled_from(shapes))), x)

    def transpose(self) -> None:
        x = self.pick()
        self.add(Transpose(tuple(self.draw(st.permutations(range(x.type.rank))))), x)

    def channels_last(self) -> None:
        self.add(Transpose(self.draw(st.sampled_from(((0, 3, 1, 2), (0, 2, 3, 1))))), self.pick(4))

    def slice(self) -> None:
        x = self.pick()
        starts, shape, steps = [], [], []
        for n in x.type.extents:
            step = self.draw(st.sampled_from((1, 1, 1, 2, -1)))
            start = self.draw(st.integers(0, n - 1))
            most = (n - 1 - start) // step + 1 if step > 0 else start // -step + 1
            starts.append(start)
            shape.append(self.draw(st.integers(1, most)))
            steps.append(step)
        self.add(Slice(tuple(starts), tuple(shape), tuple(steps)), x)

    def split_and_join(self) -> None:
        x = self.pick()
        assume(x.type.rank)
        axis = self.draw(st.integers(0, x.type.rank - 1))
        n = x.type.extents[axis]
        cut = self.draw(st.integers(1, max(1, n - 1)))
        parts = [self._part(x, axis, start, stop) for start, stop in ((0, cut), (cut, n)) if start < stop]
        self.add(Concat(axis), *parts)

    def _part(self, x: Value, axis: int, start: int, stop: int) -> Value:
        starts = tuple(start if i == axis else 0 for i in range(x.type.rank))
        shape = tuple(stop - start if i == axis else n for i, n in enumerate(x.type.extents))
        return self.builder.add(Slice(starts, shape, (1,) * x.type.rank), x)

    def concat(self) -> None:
        x = self.pick()
        assume(x.type.rank)
        others = [value for value in self.values if value.type == x.type]
        members = self.draw(st.lists(st.sampled_from(others), max_size=2))
        self.add(Concat(self.draw(st.integers(0, x.type.rank - 1))), x, *members)

    def expand(self) -> None:
        x = self.pick()
        shape = tuple(self.draw(st.sampled_from((1, 3))) if n == 1 else n for n in x.type.extents)
        self.add(Expand((*self.draw(st.sampled_from(((), (2,)))), *shape)), x)

    def pad(self) -> None:
        x = self.pick()
        extents = st.lists(st.integers(0, 1), min_size=x.type.rank, max_size=x.type.rank).map(tuple)
        before, after = self.draw(extents), self.draw(extents)
        self.add(Pad(before, after, self.draw(st.sampled_from((0.0, 0.0, 1.0)))), x)

    def pad_spatial(self) -> None:
        before, after = (self.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
        self.add(Pad((0, 0, *before), (0, 0, *after)), self.pick(4))

    def reduce(self) -> None:
        x = self.pick()
        axes = tuple(sorted(self.draw(st.sets(st.integers(0, x.type.rank - 1))))) if x.type.rank else ()
        op = self.draw(st.sampled_from((ReduceSum, ReduceMax)))
        self.add(op(axes, self.draw(st.booleans())), x)

    def mean(self) -> None:
        x = self.pick()
        axes = tuple(sorted(self.draw(st.sets(st.integers(0, x.type.rank - 1), min_size=1)))) if x.type.rank else ()
        self.add(ReduceMean(axes, self.draw(st.booleans())), x)

    def softmax(self) -> None:
        x = self.pick()
        assume(x.type.rank)
        self.add(Softmax(self.draw(st.integers(0, x.type.rank - 1))), x)

    def product(self) -> None:
        x = self.pick()
        assume(x.type.rank >= 2)
        weights = self.builder.constant(self.array((x.type.extents[-1], self.draw(st.integers(1, 3)))))
        self.add(MatMul(), x, weights)

    def conv(self) -> None:
        x = self.pick(4)
        channels = x.type.extents[1]
        groups = self.draw(st.sampled_from((1, channels)))
        kernel = self.draw(st.sampled_from(((1, 1), (2, 2), (3, 1))))
        weights = self.builder.constant(self.array((2 * groups, channels // groups, *kernel)))
        bias = [self.builder.constant(self.array((2 * groups,)))] if self.draw(st.booleans()) else []
        before, after = (self.draw(st.sampled_from(((0, 0), (0, 0), (1, 0), (1, 1)))) for _ in range(2))
        strides = self.draw(st.sampled_from(((1, 1), (2, 1))))
        self.add(Conv(strides, before, after, (1, 1), groups), x, weights, *bias)

    def known_beside_weights(self) -> None:
        """Constant factors and summands, by channel or otherwise, around a convolution or a matrix product."""
        rank = self.draw(st.sampled_from((2, 4)))
        self.values.append(self.scaled(self.pick(rank)))
        if rank == 4:
            self.conv()
        else:
            self.product()
        self.values.append(self.scaled(self.values[-1]))

    def scaled(self, x: Value) -> Value:
        shape = tuple(n if self.draw(st.booleans()) else 1 for n in x.type.extents)
        if x.type.rank == 4 and self.draw(st.booleans()):
            shape = (x.type.extents[1], 1, 1)
        c = self.builder.constant(np.abs(self.array(shape)) + np.array(0.5, self.kind.dtype))
        op = self.draw(st.sampled_from((Add(), Mul(), Sub(), Div())))
        return self.builder.add(op, x, c)

    def normalize(self) -> None:
        x = self.pick(4)
        scale, bias, mean = (self.builder.constant(self.array((x.type.extents[1],))) for _ in range(3))
        variance = self.builder.constant(np.abs(self.array((x.type.extents[1],))) + np.array(1, self.kind.dtype))
        self.add(BatchNormalization(0.0), x, scale, bias, mean, variance)

    def pool(self) -> None:
        padding = self.draw(st.sampled_from(((0, 0), (1, 0), (1, 1))))
        window = ((2, 2), self.draw(st.sampled_from(((1, 1), (2, 2)))), padding, (0, 0), (1, 1))
        pools = (MaxPool(*window), AveragePool(*window, count_include_pad=self.draw(st.booleans())))
        self.add(self.draw(st.sampled_from(pools)), self.pick(4))


STEPS: tuple[Callable[[Growth], None], ...] = (
    Growth.binary,
    Growth.with_known,
    Growth.with_known,
    Growth.unary,
    Growth.choose,
    Growth.cast,
    Growth.reshape,
    Growth.transpose,
    Growth.channels_last,
    Growth.slice,
    Growth.split_and_join,
    Growth.concat,
    Growth.expand,
    Growth.pad,
    Growth.reduce,
)
FLOAT_STEPS = (
    *STEPS,
    Growth.function,
    Growth.divide,
    Growth.power,
    Growth.pad_spatial,
    Growth.mean,
    Growth.softmax,
    Growth.product,
    Growth.conv,
    Growth.conv,
    Growth.known_beside_weights,
    Growth.known_beside_weights,
    Growth.normalize,
    Growth.pool,
)

LARGEST = 512
"""Graphs with values of more elements are not tried: they show nothing that smaller ones do not."""


@st.composite
def graphs(draw: st.DrawFn, kinds: tuple[Kind, ...] = (Kind.F64, Kind.I32), most: int = 12) -> Graph:
    """A graph of up to ``most`` steps, with one to three outputs."""
    growth = Growth(draw, draw(st.sampled_from(kinds)))
    for _ in range(draw(st.integers(1, most))):
        growth.grow()
    graph = growth.graph
    assume(any(True for _ in graph.nodes))
    assume(all(value.type.count <= LARGEST for value in graph.values()))
    chosen = [growth.values[-1], *draw(st.lists(st.sampled_from(growth.values), max_size=2))]
    for i, value in enumerate(chosen):
        graph.set_output(f"out{i}", value)
    return graph
