"""Convolutions along one dimension stay blocked from one to the next, and compute what they should."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import assert_same_meaning, random_feeds

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy.source import copy_graph
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Graph
from glowpy_ir.ops.fused import Fused
from glowpy_ir.program import Compute
from glowpy_ir.text import parse

WEIGHTS = np.random.default_rng(0).integers(-4, 5, (24, 24, 3)).astype(np.float32) / 8
SIGNAL = """
graph signal {
  %x = placeholder f32[2,24,13]
  %scale = placeholder f32[24,1]
  %long = placeholder f32[6]
  %w = constant f32[24,24,3] #w
  %half = Splat() value=0.5 kind=Kind.F32 shape=() : f32[]
  %a = Conv(%x, %w) strides=(1,) before=(1,) after=(1,) dilations=(1,) groups=1 : f32[2,24,13]
  %r = Relu(%a) : f32[2,24,13]
  %b = Conv(%r, %w) strides=(1,) before=(2,) after=(2,) dilations=(2,) groups=1 : f32[2,24,13]
  %s = Mul(%b, %scale) : f32[2,24,13]
  %h = Mul(%s, %half) : f32[2,24,13]
  %y = Add(%h, %r) : f32[2,24,13]
  %z = Conv(%y, %w) strides=(2,) before=(0,) after=(0,) dilations=(1,) groups=1 : f32[2,24,6]
  %t = Tanh(%z) : f32[2,24,6]
  %l = Add(%t, %long) : f32[2,24,6]
  return y = %y, l = %l
}
"""


def signal() -> Graph:
    return parse(SIGNAL, arrays={"#w": WEIGHTS})


@pytest.mark.parametrize("target", ["avx512", "avx2", "sse2"])
def test_signals_compute_what_they_should(target: str) -> None:
    graph = signal()
    feeds = random_feeds(graph)
    expected = evaluate(graph, feeds)
    program = compile_graph(copy_graph(graph), Options(threads=1, target=target), Trace(check=True))
    assert_same_meaning(expected, program.graph, feeds)
    found = program.executable.run(feeds)
    for wanted, array in zip(expected, found.values(), strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-4)


def test_signals_stay_blocked() -> None:
    """Between convolutions nothing is copied: what makes their images are the convolutions before them."""
    program = compile_graph(signal(), Options(threads=1)).program
    heads = [i for i in program.leaves() if isinstance(i, Compute) and isinstance(i.op, Fused) and i.op.head]
    assert len(heads) == 3
    assert [i.inputs[0] for i in heads[1:]] == [i.output for i in heads[:-1]]
