"""Random convolutional networks: what the layout pass and the heavy kernels branch on."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.ops.activation import HardSwish, Relu
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Mul
from glowpy_ir.ops.functions import Sigmoid
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Transpose
from glowpy_ir.ops.normalization import BatchNormalization, Lrn
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.ops.reduction import ReduceMax, ReduceSum
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.types import Array, Kind, TensorType

CHANNELS = [1, 3, 8, 16, 20, 32, 48]


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """A few layers on one image, some of them side by side; small numbers, so that errors stay small."""
    graph = Graph("network")
    net = _Network(draw, Builder(graph), np.random.default_rng(draw(st.integers(0, 2**16))))
    size = draw(st.sampled_from([7, 12, 14, 21]))
    image = TensorType(Kind.F32, (draw(st.sampled_from([1, 2])), draw(st.sampled_from(CHANNELS)), size, size + 1))
    values: list[Value] = [net.b.placeholder("image", image)]
    values.append(convolution(net, values[0], values))
    for layer in draw(st.lists(st.sampled_from(LAYERS), min_size=4, max_size=9)):
        try:
            values.append(layer(net, values[-1] if draw(st.booleans()) else draw(st.sampled_from(values)), values))
        except TypeMismatch:
            continue
    graph.set_output("last", values[-1])
    if draw(st.booleans()):
        graph.set_output("other", draw(st.sampled_from(values)))
    return graph


class _Network:
    """A network under construction."""

    def __init__(self, draw: st.DrawFn, b: Builder, rng: np.random.Generator) -> None:
        self.draw, self.b, self.rng = draw, b, rng

    def weights(self, *shape: int) -> Value:
        array: Array = self.rng.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5
        return self.b.constant(array.astype(np.float32))

    def pick(self, *choices: int) -> int:
        return self.draw(st.sampled_from(choices))


def convolution(net: _Network, x: Value, values: list[Value]) -> Value:
    channels = x.type.extents[1]
    groups = net.pick(1, 1, 1, channels, 2 if channels % 2 == 0 else 1, 4 if channels % 4 == 0 else 1)
    results = channels if groups == channels else groups * net.pick(1, 4, 5, 16) if groups > 1 else net.pick(*CHANNELS)
    kernel, stride, dilation = net.pick(1, 3, 3, 5), net.pick(1, 1, 2), net.pick(1, 1, 2)
    before, after = net.pick(0, 1, 2), net.pick(0, 1, 2)
    conv = Conv((stride, stride), (before, after), (after, before), (dilation, dilation), groups)
    operands = [x, net.weights(results, channels // groups, kernel, kernel)]
    if net.draw(st.booleans()):
        operands.append(net.weights(results))
    return net.b.add(conv, *operands)


def pool(net: _Network, x: Value, values: list[Value]) -> Value:
    kernel, stride, pad = net.pick(2, 3, 5), net.pick(1, 2), net.pick(0, 1)
    windows = ((kernel, kernel), (stride, stride), (pad, pad), (pad, 0), (1, 1))
    if net.draw(st.booleans()):
        return net.b.add(MaxPool(*windows), x)
    return net.b.add(AveragePool(*windows, count_include_pad=net.draw(st.booleans())), x)


def activation(net: _Network, x: Value, values: list[Value]) -> Value:
    return net.b.add(net.draw(st.sampled_from([Relu(), HardSwish(), Sigmoid()])), x)


def merge(net: _Network, x: Value, values: list[Value]) -> Value:
    other = net.draw(st.sampled_from(values))
    return net.b.add(net.draw(st.sampled_from([Add(), Mul(), Concat(1), Concat(1), Concat(3)])), x, other)


def normalisation(net: _Network, x: Value, values: list[Value]) -> Value:
    channels = x.type.extents[1]
    if net.draw(st.booleans()):
        return net.b.add(Lrn(net.pick(1, 3, 5)), x)
    factors = (net.b.constant(np.abs(net.rng.standard_normal(channels)).astype(np.float32) + 0.5) for _ in range(4))
    return net.b.add(BatchNormalization(), x, *factors)


def movement(net: _Network, x: Value, values: list[Value]) -> Value:
    batch, channels, height, width = x.type.extents
    match net.pick(0, 1, 2, 3):
        case 0:
            return net.b.add(Pad((0, 0, 1, 0), (0, 0, 0, 2), 0.5), x)
        case 1:
            return net.b.add(Transpose((0, 1, 3, 2)), x)
        case 2 if channels % 4 == 0:  # a channel shuffle
            split = net.b.add(Reshape((batch, 4, channels // 4, height, width)), x)
            return net.b.add(Reshape(x.type.shape), net.b.add(Transpose((0, 2, 1, 3, 4)), split))
        case _:
            return net.b.add(Transpose((0, 2, 3, 1)), net.b.add(Transpose((0, 3, 1, 2)), x))


def squeeze(net: _Network, x: Value, values: list[Value]) -> Value:
    reduction = net.draw(st.sampled_from([ReduceSum((2, 3)), ReduceMax((2, 3)), ReduceMax((1,))]))
    return net.b.add(Mul(), x, net.b.add(Sigmoid(), net.b.add(reduction, x)))


def dense(net: _Network, x: Value, values: list[Value]) -> Value:
    batch, channels, height, width = x.type.extents
    flat = net.b.add(Reshape((batch * channels, height * width)), x)
    product = net.b.add(MatMul(), flat, net.weights(height * width, net.pick(1, 7, 16, 33)))
    columns = product.type.extents[1]
    return net.b.add(Reshape((batch, channels, columns, 1)), net.b.add(Softmax(1), product))


LAYERS = (
    *(convolution, convolution, convolution, convolution, merge, merge),
    *(pool, activation, normalisation, movement, squeeze, dense),
)
