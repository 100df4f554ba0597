"""The layout pass on graphs that move channels: they mean the same, and nothing is unpacked in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from graphs import assert_same_meaning, random_feeds

from glowpy.passes.lower import Lower
from glowpy_backends.cpu.layout import ChooseLayout
from glowpy_backends.cpu.target import Target
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Max, Mul
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.movement import Concat, Reshape, Slice, Transpose, full_slice
from glowpy_ir.ops.normalization import InstanceNormalization, Standardize
from glowpy_ir.ops.pooling import MaxPool
from glowpy_ir.types import Kind, TensorType
from glowpy_ir.verify import verify

TARGET = Target.named("avx512", "x86_64-unknown-linux-gnu")


def conv(b: Builder, x: Value, results: int, groups: int = 1, size: int = 1) -> Value:
    """A convolution with integer weights, so that sums are exact."""
    channels, pad = x.type.extents[1], size // 2
    rng = np.random.default_rng(channels + results)
    weights = rng.integers(-2, 3, (results, channels // groups, size, size)).astype(np.float32)
    return b.add(Conv((1, 1), (pad, pad), (pad, pad), (1, 1), groups), x, b.constant(weights))


def shuffle(b: Builder, x: Value, groups: int) -> Value:
    batch, channels, *spatial = x.type.extents
    apart = b.add(Reshape((batch, groups, channels // groups, *spatial)), x)
    return b.add(Reshape(x.type.shape), b.add(Transpose((0, 2, 1, 3, 4)), apart))


def counted(build: Callable[[Builder, Value], Value], channels: int = 24) -> Counter[str]:
    """The operators that are left of a graph, which must mean what it meant."""
    graph = Graph("test")
    b = Builder(graph)
    x = b.placeholder("x", TensorType(Kind.F32, (2, channels, 5, 6)))
    graph.set_output("y", build(b, x))
    feeds = random_feeds(graph)
    expected = evaluate(graph, feeds)
    ChooseLayout(TARGET, exact=True)(graph)
    verify(graph)
    assert_same_meaning(expected, graph, feeds)
    return Counter(node.op.name for node in graph.nodes)


def test_shufflenet_unit() -> None:
    def build(b: Builder, x: Value) -> Value:
        x = conv(b, x, 136)
        y = shuffle(b, conv(b, x, 136, groups=4), 4)
        y = conv(b, conv(b, y, 136, groups=136, size=3), 136, groups=4)
        y = b.add(Add(), x, y)
        pooled = b.add(MaxPool((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)), x)
        return conv(b, b.add(Concat(1), pooled, y), 8)

    left = counted(build)
    assert (left["Pack"], left["Unpack"], left["Transpose"], left["Concat"]) == (1, 1, 0, 0)
    assert left["Rearrange"] == 4


def test_shufflenet_v2_unit() -> None:
    def build(b: Builder, x: Value) -> Value:
        x = conv(b, x, 58 * 2)
        first, second = (b.add(full_slice(x.type.shape, 1, i * 58, 58), x) for i in range(2))
        joined = b.add(Concat(1), first, conv(b, second, 58))
        return conv(b, shuffle(b, joined, 2), 8)

    left = counted(build)
    assert (left["Pack"], left["Unpack"], left["Transpose"], left["Concat"]) == (1, 1, 0, 0)
    assert (left["Rearrange"], left["Slice"]) == (2, 1)


def test_whole_blocks_are_views() -> None:
    def build(b: Builder, x: Value) -> Value:
        x = conv(b, x, 64)
        parts = [b.add(full_slice(x.type.shape, 1, start, 32), x) for start in (32, 0)]
        return conv(b, b.add(Concat(1), *parts), 8)

    left = counted(build)
    assert (left["Slice"], left["Concat"], left["Rearrange"]) == (0, 0, 1) or left["Rearrange"] == 0


def test_concatenations_that_fill_blocks_stay() -> None:
    left = counted(lambda b, x: conv(b, b.add(Concat(1), conv(b, x, 32), conv(b, x, 20)), 8))
    assert (left["Concat"], left["Rearrange"], left["Unpack"]) == (1, 0, 1)


def test_ragged_concatenation() -> None:
    left = counted(lambda b, x: conv(b, b.add(Concat(1), conv(b, x, 20), conv(b, x, 33), x), 8))
    assert (left["Concat"], left["Rearrange"], left["Unpack"]) == (0, 1, 1)


def test_instance_normalization_works_on_blocks() -> None:
    def build(b: Builder, x: Value) -> Value:
        y = b.add(InstanceNormalization(), conv(b, x, 20), *(b.constant(np.arange(20, dtype=np.float32)) for _ in "sb"))
        return conv(b, y, 8)

    def lowered(b: Builder, x: Value) -> Value:
        y = build(b, x)
        Lower(lambda op: isinstance(op, Standardize))(b.graph)
        return y

    left = counted(lowered)
    assert (left["Standardize"], left["Pack"], left["Unpack"]) == (1, 1, 1)


def test_gathered_channels() -> None:
    indices = np.array([3, -1, 3, 0, 17, 2, 5, 11])
    left = counted(lambda b, x: conv(b, b.add(Gather(1), conv(b, x, 20), b.constant(indices)), 8))
    assert (left["Gather"], left["Rearrange"], left["Unpack"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("starts", "shape", "steps"),
    [((0, 16, 0, 0), (2, 16, 5, 6), (1, 1, 1, 1)), ((1, 19, 4, 0), (1, 7, 3, 3), (1, -2, -1, 2))],
)
def test_slices_along_all_dimensions(
    starts: tuple[int, ...], shape: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    left = counted(lambda b, x: conv(b, b.add(Slice(starts, shape, steps), conv(b, x, 32)), 8))
    assert left["Unpack"] == 1


def test_operands_in_other_parts_are_rearranged() -> None:
    def build(b: Builder, x: Value) -> Value:
        factor = b.constant(np.arange(68, dtype=np.float32).reshape(68, 1, 1))
        y = b.add(Mul(), conv(b, x, 68, groups=4), factor)
        return b.add(Max(), conv(b, y, 68, groups=2), conv(b, b.add(Add(), y, conv(b, x, 68)), 68, groups=4))

    assert counted(build)["Unpack"] == 1


def test_shuffles_of_other_dimensions_are_left_alone() -> None:
    def build(b: Builder, x: Value) -> Value:
        x = conv(b, x, 16)
        apart = b.add(Reshape((2, 4, 4, 5, 6)), x)
        turned = b.add(Reshape((2, 16, 5, 6)), b.add(Transpose((1, 0, 2, 3, 4)), b.add(Reshape((4, 2, 4, 5, 6)), x)))
        return b.add(Add(), turned, b.add(Reshape((2, 16, 5, 6)), b.add(Transpose((0, 2, 1, 3, 4)), apart)))

    assert counted(build)["Transpose"] == 1
