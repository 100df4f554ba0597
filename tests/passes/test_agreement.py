"""Whatever the passes do to a graph, it means the same, and it is still a graph.

Some fifty bugs were planted in the passes, and each is caught by these tests or by the text tests: rules without their
guard (x + 0 where 0 widens, x * 0 of floats, padding that does not belong to a window, a single use that is none),
orders and axes mixed up (transposes composed backwards, regions turned without their attributes, factors by input
channel as by output channel), regions that end too late in fusion (a result that someone else sees, repeated work,
another shape), and keys that are too coarse in sharing (0 and -0, operands of a difference).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from graphs import assert_same_meaning, random_feeds
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import graphs

from glowpy.passes.fuse import OPERANDS, STEPS, Fuse
from glowpy.passes.recognition import recognise
from glowpy.passes.share import share_common_values
from glowpy.passes.simplify import THEMES
from glowpy.passes.transposes import turn_regions
from glowpy.pipeline import Trace, optimize
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.elementwise import Add, Elementwise, Splat
from glowpy_ir.ops.functions import Neg
from glowpy_ir.ops.fused import Fused
from glowpy_ir.rewrite import Pass, rewrite
from glowpy_ir.text import digest, parse, print_graph
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.verify import verify

relaxed = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))


def is_heavy(op: Op, converts: bool = False) -> bool:
    return op.name in ("Conv", "MatMul", "MaxPool", "ReduceSum")


def reference(graph: Graph, feeds: dict[str, Array]) -> list[Array]:
    """What a graph computes, if its numbers stay in a range in which the order of sums does not matter much."""
    results = evaluate(graph, feeds)
    assume(all(np.isfinite(r).all() and np.abs(r).max(initial=0) < 1e6 for r in results if r.dtype.kind == "f"))
    return results


@given(graph=graphs(), kept=st.sets(st.sampled_from(("Softmax", "Relu", "BatchNormalization"))), fused=st.booleans())
@relaxed(max_examples=300)
def test_optimize_keeps_the_meaning(graph: Graph, kept: set[str], fused: bool) -> None:
    feeds = random_feeds(graph)
    expected = reference(graph, feeds)
    types = [value.type for value in graph.outputs]
    optimize(graph, lambda op: op.name in kept, (), Trace(check=True), is_heavy if fused else None)
    assert [value.type for value in graph.outputs] == types
    assert_same_meaning(expected, graph, feeds)
    assert fused <= (not any(isinstance(node.op, Elementwise) for node in graph.nodes))


SINGLE = (
    *(Pass(name, partial(rewrite, rules=rules)) for name, rules in THEMES.items()),
    Pass("share", share_common_values),
    Pass("recognise", recognise),
    Pass("transposes", turn_regions),
    Pass("fuse", Fuse(is_heavy)),
)


@pytest.mark.parametrize("step", SINGLE, ids=lambda step: step.name)
@given(graph=graphs(most=8))
@relaxed(max_examples=60)
def test_each_pass_keeps_the_meaning(step: Pass, graph: Graph) -> None:
    feeds = random_feeds(graph)
    expected = reference(graph, feeds)
    before = print_graph(graph)
    changed = step.run(graph)
    verify(graph)
    assert changed or print_graph(graph) == before, "it changed the graph and did not say so"
    assert_same_meaning(expected, graph, feeds)


@given(graph=graphs(kinds=(Kind.F64,)))
@relaxed(max_examples=60)
def test_optimize_twice_changes_nothing(graph: Graph) -> None:
    for fuses in (None, is_heavy):
        optimize(graph, lambda op: False, (), Trace(), fuses)
        once = [node.op for node in graph.nodes]
        optimize(graph, lambda op: False, (), Trace(), fuses)
        assert [node.op for node in graph.nodes] == once


@given(graph=graphs())
@relaxed(max_examples=100)
def test_fusion_computes_nothing_twice(graph: Graph) -> None:
    def work(graph: Graph) -> int:
        bodies = [node.op.body for node in graph.nodes if isinstance(node.op, Fused)]
        steps = sum(isinstance(step.op, Elementwise) for body in bodies for step in body)
        return (
            steps
            + sum(not isinstance(node.op, Fused | Splat) for node in graph.nodes)
            + sum(isinstance(node.op, Fused) and node.op.head is not None for node in graph.nodes)
        )

    before = work(graph)
    Fuse(is_heavy)(graph)
    assert work(graph) == before
    for node in graph.nodes:
        if isinstance(node.op, Fused):
            assert len(node.inputs) - node.op.arity <= OPERANDS


@given(graph=graphs())
@relaxed(max_examples=100)
def test_text_round_trip_of_optimized_graphs(graph: Graph) -> None:
    optimize(graph, lambda op: False, (), Trace(), is_heavy)
    text = print_graph(graph)
    arrays = {digest(constant.data): constant.data for constant in graph.constants}
    assert print_graph(parse(text, arrays=arrays)) == text


def test_fusion_keeps_to_its_limits() -> None:
    graph = Graph("sum")
    b = Builder(graph)
    inputs = [b.placeholder(f"x{i}", TensorType(Kind.F32, (3,))) for i in range(3 * OPERANDS)]
    total: Value = inputs[0]
    for value in inputs[1:]:
        total = b.add(Add(), total, value)
    for _ in range(3 * STEPS):
        total = b.add(Neg(), total)
    graph.set_output("total", total)
    Fuse(is_heavy)(graph)
    fused = [node for node in graph.nodes if isinstance(node.op, Fused)]
    assert max(len(node.inputs) for node in fused) == OPERANDS
    assert max(len(node.op.body) for node in fused if isinstance(node.op, Fused)) == STEPS
    assert len(fused) < 12
