"""The CPU backend's own programs: their text, their meaning in NumPy, what is said about what it cannot do."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from graphs import random_feeds
from hypothesis import HealthCheck, given, settings
from networks import networks

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy.source import copy_graph
from glowpy_backends.base import BackendOptions
from glowpy_backends.cpu import Cpu
from glowpy_backends.interpreter import Interpreter
from glowpy_ir import Builder, Graph, Kind, TensorType
from glowpy_ir.errors import Findings, UsageError
from glowpy_ir.evaluate import evaluate
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import Equal
from glowpy_ir.program import Access, Output
from glowpy_ir.program_text import parse_program, print_program
from glowpy_ir.text import digest

relaxed = partial(settings, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@given(networks())
@relaxed(max_examples=25)
def test_text_and_meaning_of_native_programs(graph: Graph) -> None:
    """The program prints and parses back; the interpreter runs it, packed weights and all, with the same result."""
    feeds = random_feeds(graph)
    expected = evaluate(graph, feeds)
    program = compile_graph(copy_graph(graph), Options(threads=1), Trace(check=True)).program
    arrays = {digest(weight.data): weight.data for weight in program.weights}
    text = print_program(program)
    again = parse_program(text, Cpu(BackendOptions()).vocabulary(), arrays)
    assert print_program(again) == text
    inputs = dict(zip((buffer.name for buffer in again.inputs), feeds.values(), strict=True))
    for wanted, found in zip(expected, Interpreter(BackendOptions()).compile(again).run(inputs).values(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def convolutions(count: int, rank: int = 2) -> Graph:
    graph = Graph("convolutions")
    b = Builder(graph)
    value = b.placeholder("x", TensorType(Kind.F32, (1, 16, *(9,) * rank)))
    weights = np.full((16, 16, *(3,) * rank), 0.01, np.float32)
    ones = (1,) * rank
    result = value
    for _ in range(count):
        result = b.add(Conv(ones, ones, ones, ones), result, b.constant(weights))
    graph.set_output("y", result)
    return graph


def test_scratch_is_an_operand() -> None:
    """A convolution with Winograd's tiles needs memory for the length of the instruction; it says so."""
    graph = Graph("wide")
    b = Builder(graph)
    x = b.placeholder("x", TensorType(Kind.F32, (1, 32, 24, 24)))
    weights = b.constant(np.full((32, 32, 3, 3), 0.01, np.float32))
    graph.set_output("y", b.add(Conv((1, 1), (1, 1), (1, 1), (1, 1)), x, weights))
    program = compile_graph(graph, Options(threads=1)).program
    accesses = [operand.access for instruction in program.instructions for operand in instruction.operands()]
    assert Access.SCRATCH in accesses
    assert "@scratch %scratch" in print_program(program)


def test_channels_that_leave_lanes_empty_are_copied_once() -> None:
    """Nothing but blocks is in memory where the last block of a convolution's result is not full."""
    graph = Graph("narrow")
    b = Builder(graph)
    x = b.placeholder("x", TensorType(Kind.F32, (2, 8, 3, 5)))
    weights = b.constant(np.random.default_rng(0).standard_normal((21, 8, 1, 1)).astype(np.float32))
    graph.set_output("y", b.add(Conv((1, 1), (0, 0), (0, 0), (1, 1)), x, weights))
    feeds = random_feeds(graph)
    (expected,) = evaluate(graph, feeds)
    compiled = compile_graph(graph, Options(threads=1, target="sse2"))
    assert [buffer.extents for buffer in compiled.program.activations()] == [(2, 2, 3, 5, 4), (2, 6, 3, 5, 4)]
    written = [operand for step in compiled.program.instructions for operand in step.operands() if operand.writes]
    assert sum(isinstance(operand.buffer.storage, Output) for operand in written) == 2
    (found,) = compiled.executable.run(feeds).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_equal_layers_share_one_kernel() -> None:
    """Of five layers, the last has no halo around its result."""
    compiled = compile_graph(convolutions(5), Options(threads=1))
    assert compiled.executable.listing("llvm").count("define void @convolution_") == 2


def test_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="no target 'z80'"):
        compile_graph(convolutions(1), Options(target="z80"))


def test_saved_program_gives_the_same_bits(tmp_path: Path) -> None:
    compiled = compile_graph(convolutions(2), Options(threads=1))
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 16, 9, 9)).astype(np.float32)}
    compiled.executable.save(tmp_path)
    loaded = Cpu.load(tmp_path, BackendOptions(threads=2))
    for wanted, found in zip(compiled.executable.run(feeds).values(), loaded.run(feeds).values(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("damage", ["weights.bin", "code.bin", "program.json"])
def test_damaged_program_is_refused(tmp_path: Path, damage: str) -> None:
    compile_graph(convolutions(1), Options(threads=1)).executable.save(tmp_path)
    data = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="compile the model again"):
        Cpu.load(tmp_path, BackendOptions())


def test_what_has_no_kernel_is_told_at_once() -> None:
    """All of it in one report, with the operator and its types."""
    graph = Graph("strings")
    b = Builder(graph)
    x, y = (b.placeholder(name, TensorType(Kind.STRING, (2,))) for name in "xy")
    small = b.placeholder("small", TensorType(Kind.F32, (2,)))
    graph.set_output("same", b.add(Equal(), x, y))
    graph.set_output("eight", b.add(Cast(Kind.STRING), small))
    with pytest.raises(Findings) as caught:
        compile_graph(graph, Options())
    assert len(caught.value.findings) == 2
    assert "--backend=interpreter" in str(caught.value)


def test_a_batch_with_one_matrix_is_one_product() -> None:
    """Rows of all its parts go through the kernel together: it is the kernel of a single matrix of as many rows."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((7, 9)).astype(np.float32)
    x = rng.standard_normal((3, 5, 7)).astype(np.float32)
    kernels = []
    for array in (x, x.reshape(15, 7)):
        graph = Graph("product")
        b = Builder(graph)
        graph.set_output("y", b.add(MatMul(), b.placeholder("x", TensorType.of(array)), b.constant(matrix)))
        executable = compile_graph(graph, Options(threads=1)).executable
        np.testing.assert_allclose(executable.run({"x": array})["y"], array @ matrix, rtol=1e-5, atol=1e-5)
        kernels.append(re.findall(r"define void @(matmul_\w+)", executable.listing("llvm")))
    assert kernels[0] == kernels[1]
