"""Networks with quantized tensors between their layers: native code against the graph as it was built."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy.source import copy_graph
from glowpy_ir import Builder, Graph, Kind, TensorType, Value
from glowpy_ir.evaluate import evaluate
from glowpy_ir.ops.activation import Clip, Relu
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Reshape, Transpose
from glowpy_ir.ops.pooling import MaxPool
from glowpy_ir.ops.quantization import DequantizeLinear, QuantizeLinear


class Layers:
    """Layers as a quantizer leaves them: every tensor is quantized and dequantized again."""

    def __init__(self, b: Builder, seed: int, kind: Kind) -> None:
        self.b = b
        self.rng = np.random.default_rng(seed)
        self.kind = kind

    def parts(self) -> tuple[Value, Value]:
        low, high = (int(limit) for limit in self.kind.limits)
        scale = np.asarray(self.rng.uniform(0.02, 0.2), np.float32)
        return self.b.constant(scale), self.b.constant(np.asarray(self.rng.integers(low, high + 1), self.kind.dtype))

    def stored(self, x: Value) -> Value:
        scale, zero = self.parts()
        made = self.b.add(QuantizeLinear(self.kind), x, scale, zero)
        return self.b.add(DequantizeLinear(), made, scale, zero)

    def weights(self, *shape: int) -> Value:
        scale = self.b.constant(self.rng.uniform(0.001, 0.02, shape[0]).astype(np.float32))
        numbers = self.b.constant(self.rng.integers(-128, 128, shape, np.int8, endpoint=False))
        return self.b.add(DequantizeLinear(), numbers, scale)

    def conv(self, x: Value, results: int, groups: int, stride: int, bias: bool) -> Value:
        depth = x.type.extents[1] // groups
        conv = Conv((stride, stride), (1, 1), (1, 1), (1, 1), groups)
        addend = [self.b.constant(self.rng.standard_normal(results).astype(np.float32))] if bias else []
        return self.b.add(conv, x, self.weights(results, depth, 3, 3), *addend)

    def dense(self, x: Value, columns: int) -> Value:
        flat = self.b.add(Reshape((x.type.extents[0], x.type.count // x.type.extents[0])), x)
        return self.b.add(MatMul(), flat, self.b.add(Transpose((1, 0)), self.weights(columns, flat.type.extents[1])))


@given(
    st.integers(0, 99), st.sampled_from([Kind.U8, Kind.I8]), st.sampled_from([1, 3, 8, 17, 32]),
    st.sampled_from([4, 18, 32]), st.booleans(), st.sampled_from(["host", "avx2", "sse2"]),
)  # fmt: skip
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_networks(seed: int, kind: Kind, channels: int, width: int, bias: bool, target: str) -> None:
    graph = Graph("quantized")
    b = Builder(graph)
    layers = Layers(b, seed, kind)
    x = layers.stored(b.placeholder("x", TensorType(Kind.F32, (2, channels, 7, 9))))
    first = layers.stored(b.add(Relu(), layers.conv(x, width, 1, 1, bias)))
    deep = layers.stored(b.add(Clip(0, 6), layers.conv(first, width, width, 1, bias)))
    pooled = layers.stored(b.add(MaxPool((2, 2), (2, 2), (0, 0), (0, 0), (1, 1)), b.add(Add(), first, deep)))
    last = layers.stored(layers.conv(pooled, 6, 2, 2, not bias))
    graph.set_output("y", layers.dense(last, 5))
    feeds: dict[str, Any] = {"x": np.random.default_rng(seed).standard_normal((2, channels, 7, 9)).astype(np.float32)}
    (expected,) = evaluate(graph, feeds)
    compiled = compile_graph(copy_graph(graph), Options(threads=1, target=target), Trace(check=True))
    found = compiled.executable.run(feeds)["y"]
    # A sum in another order may round to another step, here and there.
    assert np.quantile(np.abs(found - expected), 0.8) <= 1e-3 * np.abs(expected).max()
    assert np.abs(found - expected).max() <= 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("target", ["avx512", "avx2", "sse2"])
def test_weights_stay_small(target: str) -> None:
    """What is kept of the weights is two bytes each, not the four of the floats that they stand for."""
    graph = Graph("small")
    b = Builder(graph)
    layers = Layers(b, 0, Kind.U8)
    x = layers.stored(b.placeholder("x", TensorType(Kind.F32, (1, 64, 5, 5))))
    graph.set_output("y", layers.conv(x, 64, 1, 1, bias=False))
    program = compile_graph(graph, Options(threads=1, target=target)).program
    assert sum(weight.nbytes for weight in program.weights) < 2.1 * 64 * 64 * 9
