"""Operators that index, count, sort and rearrange: open dimensions, odd sizes, faults, and their text."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.dims import bind, symbol
from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.evaluate import apply, evaluate
from glowpy_ir.graph import Builder, Graph
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.arrangement import (
    BlockOrder,
    Border,
    DepthToSpace,
    OneHot,
    PadWithBorder,
    ReverseSequence,
    SpaceToDepth,
    Tile,
    Triangle,
)
from glowpy_ir.ops.counting import Cumulate, Iota, RunningProduct, RunningSum
from glowpy_ir.ops.indexing import Gather, GatherElements, GatherND, ScatterElements, ScatterND, Update
from glowpy_ir.ops.sorting import TopK
from glowpy_ir.text import parse, print_graph
from glowpy_ir.types import Array, TensorType
from glowpy_ir.verify import verify

N = symbol("n")


def types(*texts: str) -> tuple[TensorType, ...]:
    return tuple(TensorType.parse(text) for text in texts)


OPEN: list[tuple[Op, tuple[str, ...], tuple[str, ...]]] = [
    (Gather(1), ("f32[a,n,3]", "i64[k]"), ("f32[a,k,3]",)),
    (Gather(0), ("f32[n,3]", "i32[]"), ("f32[3]",)),
    (GatherND(1), ("f32[b,n,3,4]", "i64[b,k,2]"), ("f32[b,k,4]",)),
    (GatherElements(1), ("f32[a,n]", "i64[a,k]"), ("f32[a,k]",)),
    (ScatterND(), ("f32[n,3]", "i64[k,1]", "f32[k,3]"), ("f32[n,3]",)),
    (ScatterElements(0, Update.ADD), ("f32[n,3]", "i64[k,3]", "f32[k,3]"), ("f32[n,3]",)),
    (Iota(N), (), ("i64[n]",)),
    (Cumulate(RunningSum(1), True, True), ("f32[a,n]",), ("f32[a,n]",)),
    (TopK(1, 3), ("f32[a,n]",), ("f32[a,3]", "i64[a,3]")),
    (Tile((2, N)), ("f32[a,3]",), ("f32[2*a,3*n]",)),
    (PadWithBorder((0, 2), (1, 1), Border.REFLECT), ("f32[a,n]",), ("f32[a+1,n+3]",)),
    (DepthToSpace(2), ("f32[n,8,h,w]",), ("f32[n,2,2*h,2*w]",)),
    (Triangle(), ("f32[a,n,k]", "i64[]"), ("f32[a,n,k]",)),
    (OneHot(1, N), ("i64[a,3]", "f32[2]"), ("f32[a,n,3]",)),
    (ReverseSequence(0, 1), ("f32[t,b,3]", "i64[b]"), ("f32[t,b,3]",)),
]


@pytest.mark.parametrize(("op", "operands", "results"), OPEN, ids=lambda item: getattr(item, "name", ""))
def test_open_dimensions_go_through(op: Op, operands: tuple[str, ...], results: tuple[str, ...]) -> None:
    assert tuple(map(str, infer(op, *types(*operands)))) == results


RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 4, 5)).astype(np.float32)

CASES: list[tuple[Op, tuple[Array, ...]]] = [
    (Gather(1), (X, np.array([[3, -4, 0]]))),
    (Gather(2), (X, np.array(-1, np.int32))),
    (GatherND(), (X, np.array([[2, -1], [0, 1]]))),
    (GatherND(2), (X, RNG.integers(-5, 5, (3, 4, 1)))),
    (GatherElements(1), (X, RNG.integers(-4, 4, (2, 7, 5)))),
    (ScatterND(Update.ADD), (X, np.array([[1], [1]]), X[:2])),
    (ScatterElements(2, Update.MAX), (X, RNG.integers(0, 5, (3, 2, 7)), np.ones((3, 2, 7), np.float32))),
    (Iota(7), ()),
    (RunningSum(1), (X,)),
    (Cumulate(RunningSum(2), True), (X,)),
    (Cumulate(RunningProduct(0), True, True), (X[:1],)),
    (TopK(2, 2, False), (X,)),
    (TopK(0, 0), (X,)),
    (Tile((2, 1, 3)), (X,)),
    (PadWithBorder((2, 0, 1), (0, 3, 4), Border.REFLECT), (X,)),
    (PadWithBorder((3, 0, 1), (0, 4, 5), Border.WRAP), (X,)),
    (PadWithBorder((2, 9, 0), (0, 3, 0), Border.EDGE), (X,)),
    (DepthToSpace(2, BlockOrder.DEPTH_LAST), (np.arange(72.0).reshape(1, 12, 3, 2),)),
    (SpaceToDepth(3), (np.arange(72.0).reshape(1, 2, 6, 6),)),
    (Triangle(False), (X, np.array(-1))),
    (OneHot(0, 5), (np.array([0, -1, 7]), np.array([0, 1], np.int8))),
    (ReverseSequence(1, 0), (X, np.array([1, 4, 2]))),
]


@pytest.mark.parametrize(("op", "operands"), CASES, ids=lambda item: getattr(item, "name", ""))
def test_a_graph_with_it_verifies_prints_parses_and_keeps_its_types(op: Op, operands: tuple[Array, ...]) -> None:
    graph = Graph("g")
    builder = Builder(graph)
    inputs = [builder.placeholder(f"x{i}", TensorType.of(array)) for i, array in enumerate(operands)]
    for i, value in enumerate(builder.add_all(op, *inputs)):
        graph.set_output(f"y{i}", value)
    verify(graph)
    assert print_graph(parse(print_graph(graph))) == print_graph(graph)
    results = evaluate(graph, {value.name: array for value, array in zip(inputs, operands, strict=True)})
    for result, again in zip(results, apply(op, *operands), strict=True):
        np.testing.assert_array_equal(result, again)


FAULTS: list[tuple[Op, tuple[str, ...], str]] = [
    (Gather(2), ("f32[2,3]", "i64[1]"), "axis 2"),
    (Gather(0), ("f32[2,3]", "f32[1]"), "i32 or i64"),
    (GatherND(), ("f32[2]", "i64[1,2]"), "must index"),
    (GatherND(1), ("f32[2,3]", "i64[4,1]"), "do not agree"),
    (GatherND(), ("f32[2]", "i64[1,n]"), "must index"),
    (GatherElements(0), ("f32[2]", "i64[1,2]"), "do not fit"),
    (ScatterND(), ("f32[2,3]", "i64[1,1]", "f32[1,2]"), "updates"),
    (ScatterND(), ("f32[2,3]", "i64[1,1]", "f64[1,3]"), "updates"),
    (RunningSum(1), ("f32[2]",), "axis 1"),
    (TopK(0, 3), ("f32[2]",), "no 3 elements"),
    (Tile((2,)), ("f32[2,2]",), "repeats"),
    (PadWithBorder((3,), (0,), Border.REFLECT), ("f32[3]",), "needs 4"),
    (PadWithBorder((1,), (0,), Border.EDGE), ("f32[0]",), "needs 1"),
    (DepthToSpace(2), ("f32[1,6,2,2]",), "blocks"),
    (DepthToSpace(2), ("f32[4,2,2]",), "four dimensions"),
    (SpaceToDepth(2), ("f32[1,6,3,2]",), "blocks"),
    (Triangle(), ("f32[6]", "i64[]"), "no diagonal"),
]


@pytest.mark.parametrize(("op", "operands", "message"), FAULTS, ids=lambda item: getattr(item, "name", ""))
def test_operands_that_do_not_fit_are_told(op: Op, operands: tuple[str, ...], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *types(*operands))


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_outside_is_told(index: int) -> None:
    for op, operands in (
        (Gather(0), (X, np.array([index]))),
        (GatherND(), (X, np.array([[index]]))),
        (ScatterND(), (X, np.array([[index]]), X[:1])),
    ):
        with pytest.raises(UsageError, match="outside a dimension of 3"):
            apply(op, *operands)


def test_quotients_that_cancel_are_exact() -> None:
    n, k = symbol("n"), symbol("k")
    assert (n * k * 6) // (n * 3) == k * 2
    assert (n * k + n * 2) // n == k + 2
    assert (n * n) // n == n
    for dividend, divisor in ((n * k + 1, n), (n, k), (n * 3, n * 2), (n + k, n + 1)):
        quotient = dividend // divisor
        values = {"n": 5, "k": 7}
        exact = bind(dividend, values), bind(divisor, values)
        assert isinstance(exact[0], int)
        assert isinstance(exact[1], int)
        assert bind(quotient, values) == exact[0] // exact[1]
