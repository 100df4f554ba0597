"""Every backend computes what the graph means: random networks through the whole compiler, verified after each step.

Planted bugs that this caught: see the docstrings.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS
from graphs import random_feeds
from hypothesis import HealthCheck, given, settings
from networks import networks

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy.source import copy_graph
from glowpy_backends.cpu.target import Target
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Graph

relaxed = partial(settings, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
NAMES = {512: "avx512", 256: "avx2", 128: "sse2"}


def check(graph: Graph, options: Options, tolerance: float) -> None:
    """Fail unless the compiled graph gives what its evaluation gives, up to the tolerance times the range."""
    feeds = random_feeds(graph)
    expected = evaluate(graph, feeds)
    compiled = compile_graph(copy_graph(graph), options, Trace(check=True))
    inputs = dict(zip((buffer.name for buffer in compiled.program.inputs), feeds.values(), strict=True))
    for _ in range(2):  # the second time, memory holds what the first left there
        results = compiled.executable.run(inputs)
        for wanted, found in zip(expected, results.values(), strict=True):
            assert found.shape == wanted.shape
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * max(1.0, np.abs(wanted).max()))


@given(networks())
@relaxed(max_examples=60)
def test_interpreter(graph: Graph) -> None:
    """Caught: live ranges that ignore views; parts of a buffer that never count as overlapping; a broadcast to the
    first operand's shape."""
    check(graph, Options(backend="interpreter"), 1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("threads", [1, 3])
def test_cpu(target: Target, threads: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Caught: the pads of a convolution swapped; halos that are not zeroed; units lost between three threads."""
    folder: Path = tmp_path_factory.mktemp("cache")

    @given(networks())
    @relaxed(max_examples=20)
    def agrees(graph: Graph) -> None:
        check(graph, Options(threads=threads, target=NAMES[target.vector_bits], cache=folder), 2e-4)

    agrees()


@given(networks())
@relaxed(max_examples=10)
def test_threads_give_the_same_bits(graph: Graph) -> None:
    feeds = random_feeds(graph)
    results = []
    for threads in (1, 2, 5):
        compiled = compile_graph(copy_graph(graph), Options(threads=threads))
        inputs = dict(zip((buffer.name for buffer in compiled.program.inputs), feeds.values(), strict=True))
        results.append(list(compiled.executable.run(inputs).values()))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
