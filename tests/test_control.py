"""Control flow computes the same everywhere: on arrays, on the interpreter, and as native code on any threads.

``control.glow`` holds the graphs.
"""

from __future__ import annotations

import re
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from graphs import random_feeds
from hypothesis import HealthCheck, given, settings
from networks import networks

import glowpy
from glowpy.compiler import Compiled, compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy.source import copy_graph
from glowpy_backends.base import BackendOptions
from glowpy_backends.cpu import Cpu
from glowpy_ir.build import GraphBuilder
from glowpy_ir.dot import to_dot
from glowpy_ir.errors import GlowError, TypeMismatch
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph, Placeholder
from glowpy_ir.ops.control import COUNT, Loop
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.program import Compute
from glowpy_ir.program_text import parse_program, print_program
from glowpy_ir.text import digest, parse, print_graph
from glowpy_ir.types import Array
from glowpy_ir.verify import verify
from glowpy_ir.verify_program import verify_program
from glowpy_ir.workspace import carried_in_place

TEXT = (Path(__file__).parent / "control.glow").read_text()
GRAPHS = {name: text for text, name in re.findall(r"^(graph (\w+) \{.*?\n\}\n)", TEXT, re.DOTALL | re.MULTILINE)}
MATRIX = np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)
names = pytest.mark.parametrize("name", GRAPHS)


def graph_of(name: str) -> Graph:
    return parse(GRAPHS[name], arrays={"#w": MATRIX})


def feeds_of(graph: Graph, seed: int) -> dict[str, Array]:
    feeds = random_feeds(graph, seed)
    return feeds | {"n": np.array((-1, 0, 1, 2, 3, 100)[seed])} if "n" in feeds else feeds


def compiled(graph: Graph, backend: str = "cpu", threads: int = 1) -> Compiled:
    return compile_graph(copy_graph(graph), Options(backend=backend, threads=threads), Trace(check=True))


@names
def test_text_of_graphs(name: str) -> None:
    graph = graph_of(name)
    verify(graph)
    assert print_graph(graph) == GRAPHS[name].replace("#w", digest(MATRIX))
    picture = to_dot(graph)
    assert picture.count("{") == picture.count("}") == 1 + GRAPHS[name].count("graph ") - 1


@names
@pytest.mark.parametrize("backend", ["interpreter", "cpu"])
def test_text_of_programs(name: str, backend: str) -> None:
    program = compiled(graph_of(name), backend).program
    arrays = {digest(weight.data): weight.data for part in program.programs() for weight in part.weights}
    again = parse_program(print_program(program), Cpu(BackendOptions()).vocabulary(), arrays)
    verify_program(again)
    assert print_program(again) == print_program(program)


@names
def test_all_backends_agree(name: str) -> None:
    graph = graph_of(name)
    programs = [compiled(graph, *how) for how in (("interpreter", 1), ("cpu", 1), ("cpu", 2))]
    for seed in range(6):
        feeds = feeds_of(graph, seed)
        expected = evaluate(graph, feeds)
        for program in programs:
            found = program.executable.run(feeds)
            assert list(found) == graph.output_names
            for wanted, array in zip(expected, found.values(), strict=True):
                np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-5)


@names
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    graph = graph_of(name)
    model = glowpy.compile(graph, threads=1)
    feeds = feeds_of(graph, 3)
    expected = model.run(None, feeds)
    model.save(tmp_path / "saved")
    for wanted, found in zip(expected, glowpy.load(tmp_path / "saved").run(None, feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)


@given(networks())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_networks_in_a_loop(network: Graph) -> None:
    """Each iteration runs a whole network on a slice of its inputs, or leaves them as they are."""
    graph, body = Graph("outer"), copy_graph(network)
    outer = Builder(graph)
    stacks = [outer.placeholder(v.name, v.type.with_shape(3, *v.type.shape)) for v in network.inputs]
    inner = Builder(body, before=next(body.nodes))
    number = Placeholder("number", COUNT)
    whole = [Placeholder(f"{v.name}.all", v.type) for v in stacks]
    for value, stack in zip(list(body.inputs), whole, strict=True):
        body.replace(value, inner.add(Gather(0), stack, number))
    body.inputs[:] = [number, *whole]
    trips = outer.constant(np.array(2))
    loop = Loop(0, 3, conditional=False)
    results = outer.add_all(loop, trips, outer.constant(np.array(True)), *stacks, regions=[body])
    for name, value in zip(network.output_names, results, strict=False):
        graph.set_output(name, value)
    verify(graph)
    feeds = random_feeds(graph)
    found = compiled(graph, threads=2).executable.run(feeds)
    for i in range(2):
        wanted = evaluate(network, {name: array[i] for name, array in feeds.items()})
        for name, array in zip(network.output_names, wanted, strict=True):
            np.testing.assert_allclose(found[name][i], array, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(array).max()))
            assert not found[name][2].any()


def test_carried_in_place() -> None:
    """What is written over in each iteration needs no second place; what is read once more does."""
    loops = {}
    for name in ("fibonacci", "fill", "nested"):
        (loop,) = (i for i in compiled(graph_of(name)).program.instructions if isinstance(i, Compute) and i.regions)
        loops[name] = carried_in_place(loop.op, loop.regions), [str(buffer.type) for buffer in loop.workspace[1:]]
    assert loops == {
        "fibonacci": (set(), ["i64[]", "i64[]"]),
        "fill": ({0}, ["f32[3]"]),
        "nested": ({0}, []),
    }


def test_many_calls_at_once() -> None:
    graph = graph_of("nested")
    model = glowpy.compile(graph, threads=2)
    feeds = [feeds_of(graph, seed) for seed in range(6)]
    expected = [model.run(None, feed) for feed in feeds]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            found = model.run(None, feeds[number])
            if not all(map(np.array_equal, found, expected[number])):
                wrong.append(number)

    threads = [Thread(target=work, args=(number,)) for number in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("u8[192] at=0", "u8[191] at=0", "the workspace of Loop must be u8[192], but is u8[191]"),
        ("@scratch %y.work, @scratch %y.work.1 ", "@scratch %y.work.1 ", "must be u8[64] f32[2,3], but is f32[2,3]"),
        ("    } arena 192\n", "    }\n", "the activations of body have no addresses"),
        ("Fused @out %x.1, @in %s ", "Fused @out %s, @in %s ", "output %x.1 is never written"),
        ("@in %first, @scratch", "@in %s, @scratch", "%s is read before it is written"),
        ("%y = output f32[2,3]\n              Fused", "%y = output f32[2]\n              Fused", "one branch gives"),
        ("Loop @out %y, ", "Loop @out %x, ", "%x is written, but it is not ours"),
    ],
)
def test_bad_programs(old: str, new: str, message: str) -> None:
    text = print_program(compiled(graph_of("nested"), "interpreter").program)
    assert old in text, text
    with pytest.raises(GlowError) as caught:
        verify_program(parse_program(text.replace(old, new, 1)))
    assert message in "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))


def test_graphs_built_in_python() -> None:
    g = GraphBuilder("power")
    body = GraphBuilder("body")
    body.input("iteration", COUNT)
    now, factor = body.input("now", "f32[3]"), body.input("factor", "f32[3]")
    body.output(now=body.mul(now, factor))
    x = g.input("x", "f32[3]")
    power, count = g.loop(np.array(4), np.array(True), x, x, carried=1, conditional=False, regions=(body.graph,))
    g.output(power=power, count=count)
    (found, counted) = glowpy.compile(g.graph, threads=1).run(None, {"x": np.array([1, 2, -3], np.float32)})
    assert (found.tolist(), counted) == ([1, 32, -243], 4)
    with pytest.raises(TypeMismatch, match="Loop has the regions body; 0 given"):
        g.loop(np.array(4), np.array(True), x, x, carried=1)
