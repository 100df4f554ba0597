"""The driver of the passes: order, trace, faults, and time on large graphs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from glowpy.pipeline import ORDER, Trace, check_order, optimize, pipeline, run_passes
from glowpy_ir.errors import GlowError, InvalidIR, UsageError
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import Relu
from glowpy_ir.ops.elementwise import Add, Splat
from glowpy_ir.ops.movement import Concat, Transpose
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.rewrite import Pass
from glowpy_ir.text import parse
from glowpy_ir.types import Kind, TensorType


def never(op: Op, converts: bool = False) -> bool:
    return False


def small() -> Graph:
    graph = Graph("small")
    b = Builder(graph)
    x = b.placeholder("x", TensorType(Kind.F32, (2, 3)))
    graph.set_output("y", b.add(Softmax(1), b.add(Relu(), b.add(Relu(), x))))
    return graph


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def test_order_has_reasons_and_keeps_them() -> None:
    passes = [step.name for step in pipeline(never, (), never)]
    check_order(passes, ORDER)
    assert len(set(passes)) == len(passes)
    with pytest.raises(ValueError, match="'dead' must come before 'simplify': what a dead node takes"):
        check_order(passes[::-1], ORDER)


def test_backend_keeps_composites() -> None:
    graph = small()
    optimize(graph, lambda op: op.name == "Softmax")
    assert "Softmax" in names(graph)
    optimize(graph, never)
    assert "Softmax" not in names(graph)


def test_backend_passes_see_the_lowered_graph_before_it_is_fused() -> None:
    seen: list[str] = []

    def look(graph: Graph) -> bool:
        seen.extend(names(graph))
        return False

    optimize(small(), never, (Pass("look", look),), Trace(check=True), never)
    assert "Max" in seen
    assert "Relu" not in seen
    assert "Fused" not in seen


def test_trace_shows_what_changed_and_times_all() -> None:
    shown: dict[str, str] = {}
    trace = Trace(show=shown.__setitem__)
    optimize(small(), never, trace=trace)
    assert "Relu" not in shown["lower"]
    assert "last dead" not in shown  # it changed nothing
    assert list(trace.seconds) == [step.name for step in pipeline(never)]

    only: dict[str, str] = {}
    optimize(small(), never, trace=Trace(show=only.__setitem__, only="lower"))
    assert list(only) == ["lower"]


def test_stop_after() -> None:
    graph, trace = small(), Trace(stop_after="simplify")
    optimize(graph, never, trace=trace)
    assert list(trace.seconds) == ["dead", "regions", "integers", "simplify"]
    assert "Softmax" in names(graph)
    with pytest.raises(UsageError, match="no pass 'nonsense'; there are: dead, regions, integers, simplify"):
        optimize(graph, never, trace=Trace(stop_after="nonsense"))


def break_type(graph: Graph) -> bool:
    for node in graph.nodes:
        node.output.type = TensorType(Kind.I8, (7,))
    return True


def crash(graph: Graph) -> bool:
    raise ZeroDivisionError


@pytest.mark.parametrize(("run", "error"), [(break_type, InvalidIR), (crash, ZeroDivisionError), (None, GlowError)])
def test_faults_name_the_pass_and_attach_the_graph(run: Callable[[Graph], bool] | None, error: type[Exception]) -> None:
    def refuse(graph: Graph) -> bool:
        raise GlowError("no")

    with pytest.raises(error) as caught:
        run_passes(small(), (Pass("guilty", run or refuse),), Trace(check=True))
    (note,) = [text for text in caught.value.__notes__ if "guilty" in text]
    assert "graph small {" in note


def stacked(count: int) -> Graph:
    """A chain of element-wise operators between transposes."""
    graph = Graph("stacked")
    b = Builder(graph)
    x: Value = b.placeholder("x", TensorType(Kind.F32, (4, 8)))
    c = b.constant(np.arange(8, dtype=np.float32))
    for i in range(count // 6):
        turned = b.add(Transpose((1, 0)), b.add(Relu(), x))
        x = b.add(Transpose((1, 0)), b.add(Add(), turned, b.add(Splat(float(i % 7)))))
        x = b.add(Add(), x, c)
    graph.set_output("y", x)
    return graph


def residual(count: int) -> Graph:
    """Each second use goes around a transposed operator."""
    graph = Graph("residual")
    b = Builder(graph)
    x: Value = b.placeholder("x", TensorType(Kind.F32, (4, 8)))
    for _ in range(count // 4):
        x = b.add(Add(), x, b.add(Transpose((1, 0)), b.add(Relu(), b.add(Transpose((1, 0)), x))))
    graph.set_output("y", x)
    return graph


def shared(count: int) -> Graph:
    """Thousands of equal operators that share both operands."""
    graph = Graph("shared")
    b = Builder(graph)
    x = b.placeholder("x", TensorType(Kind.F32, (4, 8)))
    zero = b.add(Splat(0.0))
    graph.set_output("y", b.add(Concat(0), *(b.add(Relu(), b.add(Add(), x, zero)) for _ in range(count // 2))))
    return graph


@pytest.mark.parametrize("make", [stacked, residual, shared])
def test_ten_thousand_nodes_take_seconds(make: Callable[[int], Graph]) -> None:
    graph = make(10_000)
    start = time.process_time()
    optimize(graph, never, fuses=never)
    assert time.process_time() - start < 20
    assert len(names(graph)) < 1000
    assert "Transpose" not in names(graph)


SYMBOLIC = """
graph symbolic {
  %x = placeholder f32[n,2,h,4]
  %w = constant f32[2,2,1,1] [1.0, 2.0, 3.0, 4.0]
  %c = constant f32[2] [2.0, 4.0]
  %d = constant f32[2] [3.0, 5.0]
  %zero = Splat() value=0.0 kind=Kind.F32 shape=() : f32[]
  %t = Transpose(%x) order=(0,2,3,1) : f32[n,h,4,2]
  %s = Add(%t, %zero) : f32[n,h,4,2]
  %u = Transpose(%s) order=(0,3,1,2) : f32[n,2,h,4]
  %p = Pad(%u) before=(0,0,1,1) after=(0,0,1,1) value=0.0 : f32[n,2,h+2,6]
  %a = Conv(%p, %w) strides=(1,1) before=(0,0) after=(0,0) dilations=(1,1) groups=1 : f32[n,2,h+2,6]
  %b = BatchNormalization(%a, %c, %d, %d, %c) epsilon=0.0 : f32[n,2,h+2,6]
  %r = Relu(%b) : f32[n,2,h+2,6]
  %q = Concat(%r, %r) axis=2 : f32[n,2,2*h+4,6]
  %i = Slice(%q) starts=(0,0,0,1) shape=(`n`,2,2,5) steps=(1,1,1,1) : f32[n,2,2,5]
  %f = Reshape(%i) shape=(`n`,20) : f32[n,20]
  %e = Neg(%f) : f32[n,20]
  %m = ReduceMean(%e) axes=(0,) keepdims=False : f32[20]
  %z = Expand(%m) shape=(`n`,20) : f32[n,20]
  %y = Sub(%e, %z) : f32[n,20]
  return y = %y
}
"""


def test_symbolic_dimensions_stay() -> None:
    graph = parse(SYMBOLIC)
    optimize(graph, never, (), Trace(check=True), lambda op, converts: op.name == "Conv")
    (value,) = graph.outputs
    assert str(value.type) == "f32[n,20]"
    assert names(graph).count("Fused") == 4
    assert not {"Transpose", "Pad", "Expand", "BatchNormalization"} & set(names(graph))
