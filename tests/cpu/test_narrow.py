"""Products and convolutions of narrow integers: every element exact, for all kinds, instruction sets and odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy_backends.base import BackendOptions
from glowpy_backends.cpu.pairs import pair_up, take_apart
from glowpy_backends.cpu.target import Target
from glowpy_backends.interpreter import Interpreter
from glowpy_ir import Builder, Graph, TensorType
from glowpy_ir.evaluate import apply
from glowpy_ir.op import Op
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.quantization import ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul
from glowpy_ir.types import Array

RNG = np.random.default_rng(23)
NARROW: list[type[np.integer[Any]]] = [np.uint8, np.int8, np.int16]
NAMES = [name for name in ("avx512vnni", "avx512", "avx2", "sse2") if Target.named(name).runs_here]


def integers(dtype: type[np.integer[Any]], *shape: int) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


def scale(most: float = 0.1) -> Array:
    return np.asarray(RNG.uniform(most / 10, most), np.float32)


def check(op: Op, target: str, inputs: list[Array], constants: list[Array]) -> None:
    """Compare native code with the operator's meaning, and the interpreter at work on the same program."""
    graph = Graph("narrow")
    b = Builder(graph)
    values = [b.placeholder(f"x{i}", TensorType.of(array)) for i, array in enumerate(inputs)]
    graph.set_output("y", b.add(op, *values, *map(b.constant, constants)))
    (expected,) = apply(op, *inputs, *constants)
    compiled = compile_graph(graph, Options(threads=1, target=target), Trace(check=True))
    feeds = {f"x{i}": array for i, array in enumerate(inputs)}
    for executable in (compiled.executable, Interpreter(BackendOptions()).compile(compiled.program)):
        np.testing.assert_array_equal(executable.run(feeds)["y"], expected)


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 7, 3), (17, 64, 33), (100, 131, 70), (3, 600, 50)], ids=str)
def test_product(target: str, dtype: type[np.integer[Any]], sizes: tuple[int, int, int]) -> None:
    rows, depth, columns = sizes
    check(MatMul(), target, [integers(dtype, 2, rows, depth)], [integers(np.int8, depth, columns)])


MATRICES = [((5, 7), (7, 3)), ((2, 1, 5, 6), (3, 6, 4)), ((100, 131), (131, 70)), ((4, 9), (9, 1)), ((2, 0), (0, 3))]


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("shapes", [*MATRICES, ((0, 3), (3, 2)), ((2, 3, 8), (2, 8, 5))], ids=str)
def test_product_of_computed_matrices(shapes: tuple[tuple[int, ...], tuple[int, ...]], target: str) -> None:
    zeros = [integers(np.uint8), integers(np.int8)]
    operands = [integers(np.uint8, *shapes[0]), integers(np.int8, *shapes[1])]
    check(MatMulInteger(), target, operands, zeros)
    check(MatMul(), target, operands, [])


CONVOLUTIONS = [
    # images, channels, results, groups, kernel, stride
    (1, 3, 5, 1, 3, 1),
    (2, 16, 20, 1, 1, 1),
    (1, 17, 33, 1, 3, 2),
    (1, 32, 32, 2, 3, 1),
    (1, 20, 20, 20, 3, 1),
    (1, 12, 24, 6, 3, 1),
    (1, 6, 9, 3, 3, 1),
    (1, 5, 10, 5, 3, 1),
    (1, 32, 64, 32, 3, 1),
]


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("sizes", CONVOLUTIONS, ids=str)
def test_convolution(target: str, sizes: tuple[int, ...]) -> None:
    images, channels, results, groups, kernel, stride = sizes
    conv = Conv((stride,) * 2, (1, 1), (1, 1), (1, 1), groups)
    weights = integers(np.int8, results, channels // groups, kernel, kernel)
    check(conv, target, [integers(np.uint8, images, channels, 11, 13)], [weights, integers(np.int32, results)])


@pytest.mark.parametrize("spatial", [(13,), (5, 7, 4)])
def test_convolution_of_other_ranks(spatial: tuple[int, ...]) -> None:
    ones = (1,) * len(spatial)
    weights = integers(np.int8, 9, 6, *(3 for _ in spatial))
    check(ConvInteger(Conv(ones, ones, ones, ones)), "host", [integers(np.uint8, 2, 6, *spatial)], [weights])


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("dtype", NARROW[:2])
def test_quantized_layers(target: str, dtype: type[np.integer[Any]]) -> None:
    """Rounding and narrowing happen to the sums while they are in registers."""
    zero, by_channel = integers(dtype), np.linspace(0.01, 0.1, 21, dtype=np.float32)
    bias = RNG.integers(-5000, 5000, 21).astype(np.int32)
    conv = QLinearConv(Conv((1, 1), (1, 1), (1, 1), (1, 1)))
    weights = [integers(np.int8, 21, 18, 3, 3), by_channel, np.zeros(21, np.int8)]
    rest = [scale(), zero, *weights, scale(10), zero]
    check(conv, target, [integers(dtype, 1, 18, 7, 9)], [*rest, bias])
    matrix = [integers(np.int8, 33, 21), scale(), integers(np.int8)]
    check(QLinearMatMul(), target, [integers(dtype, 5, 33)], [scale(), zero, *matrix, scale(10), zero])


@given(st.integers(0, 9), st.lists(st.integers(1, 4), max_size=2), st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_pairs(count: int, others: list[int], data: Any) -> None:
    axis = data.draw(st.integers(0, len(others)))
    array = integers(np.int16, *others[:axis], count, *others[axis:])
    pairs = pair_up(array, axis)
    assert pairs.dtype == np.int32
    assert pairs.shape[axis] == -(-count // 2)
    np.testing.assert_array_equal(take_apart(pairs, axis, count), array)


