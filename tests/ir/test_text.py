"""Graphs as text: what is printed reads back as the same, and what cannot be read says where and why.

``errors.glow`` holds graphs that break a rule, each under the message to expect.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from graphs import random_feeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import graphs

from glowpy_ir.dims import symbol
from glowpy_ir.errors import GlowError, SyntaxFault
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph
from glowpy_ir.literals import CORE, Reader
from glowpy_ir.op import literal
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Add, Splat
from glowpy_ir.ops.fused import Fused, Step
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.text import SMALL, digest, parse, print_graph
from glowpy_ir.types import Array, Kind, Quantization, TensorType
from glowpy_ir.verify import verify

CASES = re.findall(r"// ERROR: ([^\n]*)\n(.*?\n\}\n)", (Path(__file__).parent / "errors.glow").read_text(), re.DOTALL)


@pytest.mark.parametrize(("message", "text"), CASES, ids=[text.split()[1] for _, text in CASES])
def test_error(message: str, text: str) -> None:
    with pytest.raises(GlowError) as caught:
        verify(parse(text))
    told = "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))
    assert message in told
    assert "line " in told or "graph NAME" in told


def arrays_of(graph: Graph) -> dict[str, Array]:
    return {digest(value.data): value.data for value in graph.constants}


@given(graph=graphs(kinds=(Kind.F32, Kind.F64, Kind.I32, Kind.I64)))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_round_trip(graph: Graph) -> None:
    text = print_graph(graph)
    again = parse(text, arrays=arrays_of(graph))
    verify(again)
    assert print_graph(again) == text
    feeds = random_feeds(graph)
    for old, new in zip(evaluate(graph, feeds), evaluate(again, feeds), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.STRING], ids=lambda kind: kind.value)
@pytest.mark.parametrize("count", [1, SMALL, SMALL + 1])
def test_constants_of_each_kind(kind: Kind, count: int) -> None:
    numbers = [0, 1, -1, 2.5, math.inf, -math.inf, math.nan] if kind.is_float else [0, 1, 3, 7]
    data = np.array([numbers[i % len(numbers)] for i in range(count)]).astype(kind.dtype)
    graph = constant_graph(data)
    again = parse(print_graph(graph), arrays=arrays_of(graph))
    (value,) = again.constants
    assert value.type == TensorType.of(data)
    np.testing.assert_array_equal(value.data.astype(np.float64), data.astype(np.float64))


@pytest.mark.parametrize("words", [["plain"], ["a // b", "it's", 'say "inf"', "new\nline", ""], ["many"] * (SMALL + 1)])
def test_constants_of_strings(words: list[str]) -> None:
    graph = constant_graph(np.array(words, object))
    (value,) = parse(print_graph(graph), arrays=arrays_of(graph)).constants
    assert value.data.tolist() == words


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1)])
def test_constants_of_odd_shapes(shape: tuple[int, ...]) -> None:
    graph = constant_graph(np.zeros(shape, np.float32))
    (value,) = parse(print_graph(graph)).constants
    assert value.data.shape == shape


def constant_graph(data: Array) -> Graph:
    graph = Graph("constants")
    graph.set_output("c", Builder(graph).constant(data))
    return graph


def test_digest_tells_bits() -> None:
    assert digest(np.zeros(20)) != digest(-np.zeros(20))
    assert digest(np.arange(20)[::-1]) == digest(np.arange(20)[::-1].copy())


def test_names_of_outputs_are_kept() -> None:
    graph = Graph("outputs")
    x = Builder(graph).placeholder("x", TensorType(Kind.F32, (2,)))
    for name in ("y:0", "model/out.1", "x"):
        graph.set_output(name, x)
    assert parse(print_graph(graph)).output_names == graph.output_names


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(Kind)
    | st.sampled_from((symbol("n"), symbol("n") * 2 - 1, Add(), Splat(-0.0), Reshape((symbol("n"), 3))))
    | st.sampled_from((Quantization(0.1, -3), TensorType(Kind.I8, (2, symbol("n")), Quantization(0.5)))),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


@given(LITERALS)
@settings(max_examples=300, deadline=None)
def test_literals_round_trip(value: object) -> None:
    text = literal(value)
    assert " " not in text
    reader = Reader(text, CORE)
    again = reader.value()
    assert reader.at_end()
    assert (again, repr(again)) == (value, repr(value))


def test_fused_round_trip() -> None:
    conv = Conv((1,), (0,), (1,), (1,))
    op = Fused(conv, 2, (Step(Splat(math.inf), ()), Step(Add(), (0, 1))))
    assert Reader(literal(op), CORE).value() == op


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    header = "graph g {\n  %x = placeholder f32[2]\n"
    for source in (text, f"{header}{text}\n}}", f"{header}  %y = Neg(%x) {text} : f32[2]\n}}"):
        with suppress(GlowError):
            parse(source)


@pytest.mark.parametrize("text", ["(" * 100_000, "`" + "(" * 100_000 + "`", "((1,)" * 50])
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(SyntaxFault):
        parse(f"graph g {{\n  %y = Splat() value={text} : f32[]\n}}")


def test_bfloat16_prints_as_numbers() -> None:
    graph = constant_graph(np.array([1.5, 2.0], ml_dtypes.bfloat16))
    assert "constant bf16[2] [1.5, 2.0]" in print_graph(graph)
