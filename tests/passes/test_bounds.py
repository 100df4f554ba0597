"""Graphs with a bounded dimension against the same graphs with the dimension known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import decoders
import numpy as np
import onnxruntime
import pytest

from glowpy.onnx.model import import_model
from glowpy.passes.bounds import Bounded, bounded
from glowpy_ir.dims import Dim, bind, symbol
from glowpy_ir.errors import Unsupported
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.counting import Cumulate, Iota, RunningSum
from glowpy_ir.ops.elementwise import Add, Div, Mul, Splat
from glowpy_ir.ops.functions import Exp
from glowpy_ir.ops.indexing import Gather, GatherND, ScatterND
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Concat, Expand, Pad, Reshape, Slice, Transpose, full_slice
from glowpy_ir.ops.normalization import LayerNormalization, Standardize
from glowpy_ir.ops.pooling import MaxPool
from glowpy_ir.ops.reduction import (
    ArgMax,
    ArgMin,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
)
from glowpy_ir.ops.softmax import Hardmax, LogSoftmax, Softmax
from glowpy_ir.ops.sorting import TopK
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.verify import verify

CAPACITY = 8
Body = Callable[[Builder, Dim, Value, Value], Value]
"""Builds a graph for ``x [2, n, 4]`` and ``y [2, 1, 4]``."""


def moved(b: Builder, value: Value) -> Value:
    """The value plus one, whose padding is no longer zero."""
    return b.add(Add(), value, b.add(Splat(1, value.type.kind)))


def number(b: Builder, value: float, kind: Kind = Kind.I64) -> Value:
    return b.add(Splat(value, kind))


def attention(b: Builder, n: Dim, x: Value, y: Value) -> Value:
    cache = b.add(Concat(1), x, y)
    scores = b.add(MatMul(), y, b.add(Transpose((0, 2, 1)), cache))
    return b.add(MatMul(), b.add(Softmax(2), scores), cache)


def from_end(b: Builder, n: Dim, x: Value, y: Value) -> Value:
    return b.add(Gather(1), x, b.constant(np.array([-1, 0])))


def chosen_by_numbers(b: Builder, n: Dim, x: Value, y: Value) -> Value:
    """The numbers are as many as the length, and those in the padding are out of range."""
    numbers = b.add(Mul(), moved(b, b.add(Iota(n))), number(b, -1))
    return b.add(Gather(1), x, numbers)


def tuples_from_end(b: Builder, n: Dim, x: Value, y: Value) -> Value:
    return b.add(GatherND(), x, b.constant(np.array([[1, -1], [-2, 0]])))


def put_at_the_end(b: Builder, n: Dim, x: Value, y: Value) -> Value:
    return b.add(ScatterND(), x, b.constant(np.array([[0, -1]])), b.constant(np.ones((1, 4), np.float32)))


def images(b: Builder, n: Dim, x: Value, y: Value) -> Value:
    weights = b.constant(np.ones((3, 2, 3), np.float32))
    convolved = b.add(Conv((1,), (1,), (1,), (1,), 1), b.add(Transpose((1, 0, 2)), x), weights)
    return b.add(MaxPool((2,), (1,), (0,), (0,), (1,)), convolved)


BODIES: dict[str, Body] = {
    "element-wise": lambda b, n, x, y: b.add(Mul(), b.add(Exp(), x), y),
    "sum": lambda b, n, x, y: b.add(ReduceSum((1,)), moved(b, x)),
    "sum of all": lambda b, n, x, y: b.add(ReduceSum((0, 1, 2), False), moved(b, x)),
    "sum of others": lambda b, n, x, y: b.add(ReduceSum((2,)), x),
    "product": lambda b, n, x, y: b.add(ReduceProd((1,)), x),
    "maximum": lambda b, n, x, y: b.add(ReduceMax((1,)), b.add(Mul(), x, number(b, -1, Kind.F32))),
    "minimum": lambda b, n, x, y: b.add(ReduceMin((1,), False), b.add(Exp(), x)),
    "mean": lambda b, n, x, y: b.add(ReduceMean((1, 2)), moved(b, x)),
    "norm": lambda b, n, x, y: b.add(ReduceL2((1,)), moved(b, x)),
    "log sum exp": lambda b, n, x, y: b.add(ReduceLogSumExp((1,)), x),
    "first largest": lambda b, n, x, y: b.add(ArgMax(1), b.add(Mul(), b.add(Exp(), x), number(b, -1, Kind.F32))),
    "first smallest": lambda b, n, x, y: b.add(ArgMin(1, False), b.add(Exp(), x)),
    "hardmax": lambda b, n, x, y: b.add(Hardmax(1), x),
    "softmax": lambda b, n, x, y: b.add(Softmax(1), x),
    "softmax of others": lambda b, n, x, y: b.add(Softmax(2), x),
    "log softmax": lambda b, n, x, y: b.add(LogSoftmax(1), x),
    "standardized": lambda b, n, x, y: b.add(Standardize((1, 2)), moved(b, x)),
    "layer": lambda b, n, x, y: b.add(
        LayerNormalization(2), x, b.constant(np.arange(4, dtype=np.float32)), b.constant(np.ones(4, np.float32))
    ),
    "running sum": lambda b, n, x, y: b.add(RunningSum(1), moved(b, x)),
    "running from the end": lambda b, n, x, y: b.add(Cumulate(RunningSum(1), reverse=True), moved(b, x)),
    "running without itself": lambda b, n, x, y: b.add(Cumulate(RunningSum(1), exclusive=True), moved(b, x)),
    "product of matrices": lambda b, n, x, y: b.add(MatMul(), b.add(Transpose((0, 2, 1)), moved(b, x)), moved(b, x)),
    "attention": attention,
    "behind": lambda b, n, x, y: b.add(Concat(1), moved(b, x), y, moved(b, y)),
    "in front": lambda b, n, x, y: b.add(Concat(1), y, moved(b, x)),
    "beside": lambda b, n, x, y: b.add(Concat(2), x, moved(b, x)),
    "behind, summed": lambda b, n, x, y: b.add(ReduceSum((1,)), b.add(Concat(1), x, y)),
    "last": lambda b, n, x, y: b.add(full_slice((2, n, 4), 1, n - 1, 1), x),
    "all but the first": lambda b, n, x, y: b.add(full_slice((2, n, 4), 1, 1, n - 1), x),
    "all but the last, summed": lambda b, n, x, y: b.add(
        ReduceSum((1,)), b.add(full_slice((2, n, 4), 1, 0, n - 1), x)
    ),
    "backwards": lambda b, n, x, y: b.add(full_slice((2, n, 4), 1, n - 1, n, -1), x),
    "corner": lambda b, n, x, y: b.add(Slice((1, 0, 3), (1, n, 2), (1, 1, -2)), x),
    "merged": lambda b, n, x, y: b.add(Reshape((2, n * 4)), b.add(Reshape((2, n, 2, 2)), x)),
    "split": lambda b, n, x, y: b.add(Reshape((2, 1, n, 4)), b.add(Reshape((2, n * 4)), x)),
    "padding in the middle": lambda b, n, x, y: b.add(Reshape((n * 2, 4)), x),
    "no longer in the middle": lambda b, n, x, y: b.add(Reshape((2, n, 2, 2)), b.add(Reshape((2 * n, 2, 2)), x)),
    "in the middle again": lambda b, n, x, y: b.add(Reshape((4, n, 2)), x),
    "as a matrix": lambda b, n, x, y: b.add(Reshape((n, 8)), b.add(Transpose((1, 0, 2)), x)),
    "around": lambda b, n, x, y: b.add(ReduceSum((1,)), b.add(Pad((0, 0, 1), (0, 0, 2), 3.0), x)),
    "around the end": lambda b, n, x, y: b.add(ReduceSum((1,)), b.add(Pad((0, 2, 0), (1, 1, 0), 3.0), moved(b, x))),
    "length by length": lambda b, n, x, y: b.add(Mul(), b.add(Expand((n, 2, n, 4)), x), y),
    "images": images,
    "numbers": lambda b, n, x, y: b.add(ReduceSum((0,)), b.add(Iota(n + 1))),
    "divided by the length": lambda b, n, x, y: b.add(Div(), x, b.add(Splat(n * 2 + 1, Kind.F32, (1,)))),
    "half the length": lambda b, n, x, y: b.add(Add(), b.add(Splat(n // 2, Kind.I64)), number(b, 1)),
    "repeated": lambda b, n, x, y: b.add(ReduceSum((1,)), moved(b, b.add(Expand((2, n, 4)), y))),
    "from the end": from_end,
    "chosen by numbers": chosen_by_numbers,
    "tuples from the end": tuples_from_end,
    "put at the end": put_at_the_end,
}


def build(body: Body, n: Dim) -> Graph:
    graph = Graph("g")
    b = Builder(graph)
    types = TensorType(Kind.F32, (2, n, 4)), TensorType(Kind.F32, (2, 1, 4))
    x, y = (b.placeholder(name, type) for name, type in zip("xy", types, strict=True))
    graph.set_output("result", body(b, n, x, y))
    return graph


def padded(array: Array, type: TensorType) -> Array:
    whole = np.zeros(type.extents, array.dtype)
    whole[tuple(map(slice, array.shape))] = array
    return whole


def run(work: Bounded, feeds: dict[str, Array], length: int) -> list[Array]:
    """The part of each output that is meant."""
    inputs = work.graph.inputs
    given = {value.name: padded(feeds[value.name], value.type) for value in inputs[:-1]}
    results = evaluate(work.graph, {**given, inputs[-1].name: np.array(length)})
    shapes = [tuple(bind(dim, {"n": length}) for dim in type.shape) for type in work.outputs]
    return [array[tuple(map(slice, shape))] for array, shape in zip(results, shapes, strict=True)]


@pytest.mark.parametrize("name", BODIES)
def test_operator(name: str) -> None:
    work = bounded(build(BODIES[name], symbol("n")), "n", CAPACITY)
    verify(work.graph)
    assert work.most >= CAPACITY - 3
    assert work.least <= 2
    for length in {work.least, 2, 5, work.most}:
        random = np.random.default_rng(length)
        shapes = {"x": (2, length, 4), "y": (2, 1, 4)}
        feeds = {key: random.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
        (wanted,) = evaluate(build(BODIES[name], length), feeds)
        (made,) = run(work, feeds, length)
        assert (made.shape, made.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5)


REFUSED: dict[str, Body] = {
    "two unknown lengths": lambda b, n, x, y: b.add(Concat(1), x, x),
    "product of lengths": lambda b, n, x, y: b.add(Expand((n * n, 2, 1, 4)), y),
    "half": lambda b, n, x, y: b.add(Expand((n // 2, 2, 1, 4)), y),
    "last largest": lambda b, n, x, y: b.add(ArgMax(1, True, True), x),
    "sorted": lambda b, n, x, y: b.add_all(TopK(1, 1, True), x)[0],
    "convolution": lambda b, n, x, y: b.add(
        Conv((1,), (1,), (1,), (1,), 1), x, b.constant(np.ones((3, 1, 3), np.float32))
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str) -> None:
    graph = build(REFUSED[name], symbol("n"))
    with pytest.raises(Unsupported):
        bounded(graph, "n", CAPACITY)


def picked(number: int) -> Body:
    return lambda b, n, x, y: b.add(Gather(1), x, b.constant(np.array([0, number])))


def cut(start: int, end: int) -> Body:
    """From a place counted from the front to one counted from the end."""
    return lambda b, n, x, y: b.add(full_slice((2, n, 4), 1, start, n - end - start), x)


LEAST = {
    "third": (picked(2), 3),
    "fourth from the end": (picked(-4), 4),
    "without three": (cut(1, 2), 3),
    "behind the first": (cut(1, 0), 1),
    "last three": (lambda b, n, x, y: b.add(full_slice((2, n, 4), 1, n - 3, 3), x), 3),
    "two of them": (lambda b, n, x, y: b.add(full_slice((2, n, 4), 1, 3, 2), x), 5),
}


@pytest.mark.parametrize("name", LEAST)
def test_least_length(name: str) -> None:
    body, least = LEAST[name]
    assert bounded(build(body, symbol("n")), "n", CAPACITY).least == least


def test_another_symbol() -> None:
    graph = build(BODIES["softmax"], symbol("m"))
    with pytest.raises(Unsupported, match="no simple bound"):
        bounded(graph, "n", CAPACITY)


def test_infinite_padding() -> None:
    """What is computed from padding may be infinite, and must not spoil sums of products."""

    def body(b: Builder, n: Dim, x: Value, y: Value) -> Value:
        inverse = b.add(Div(), number(b, 1, Kind.F32), x)
        return b.add(MatMul(), b.add(Transpose((0, 2, 1)), inverse), x)

    work = bounded(build(body, symbol("n")), "n", CAPACITY)
    feeds = {"x": np.full((2, 3, 4), 2, np.float32), "y": np.zeros((2, 1, 4), np.float32)}
    (made,) = run(work, feeds, 3)
    np.testing.assert_array_equal(made, np.full((2, 4, 4), 3, np.float32))


def test_decoder() -> None:
    model: Any = decoders.decoder()
    n = symbol("n")
    shapes: dict[str, tuple[Dim, ...]] = {"ids": (1, 1), "mask": (1, n + 1), "positions": (1, 1)}
    cache = (1, decoders.GROUPS, n, decoders.DEPTH)
    shapes |= {f"past.{layer}.{part}": cache for layer in range(2) for part in ("key", "value")}
    work = bounded(import_model(model, {}, shapes), "n", 16)
    assert work.most == 15
    assert [str(type) for type in work.outputs[:2]] == ["f32[1,1,31]", "f32[1,2,n+1,8]"]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for past in (1, 6, 15):
        feeds = decoders.feeds(past, 1, past)
        for made, wanted in zip(run(work, feeds, past), session.run(None, feeds), strict=True):
            np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-5)
    assert math.isfinite(sum(array.sum() for array in run(work, feeds, 15)))
