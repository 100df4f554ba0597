"""The kernel for recurrences against what the operator means, and what it costs in registers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run
from cpu.test_spills import spills
from hypothesis import given, settings
from hypothesis import strategies as st

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy_backends.cpu.kernels.recurrent import recurrence
from glowpy_backends.cpu.packed_recurrence import PackedRecurrence, pack_weights
from glowpy_backends.cpu.quads import fits_quads, has_quads
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import OnArrays, apply
from glowpy_ir.graph import Builder, Graph
from glowpy_ir.ops.activation import Elu, HardSigmoid, Relu, Softplus, Softsign, ThresholdedRelu
from glowpy_ir.ops.recurrent import Affine, Cell, GruCell, LstmCell, Recurrence, RnnCell, ScaledTanh
from glowpy_ir.types import Array, Kind, TensorType

CELLS: list[Cell] = [
    RnnCell(),
    RnnCell(0.25, ScaledTanh(1.5, 0.75)),
    GruCell(),
    GruCell(0.5, HardSigmoid(), Softsign()),
    GruCell(reset_after=True),
    GruCell(0.5, Relu(), Elu(0.5), reset_after=True),
    LstmCell(),
    LstmCell(0.5, Affine(0.5, 0.25), Softplus(), ThresholdedRelu(0.25), coupled=True),
    LstmCell(coupled=True, has_peepholes=True),
    LstmCell(has_peepholes=True),
]

SIZES = [(1, 1, 1), (2, 3, 5), (3, 1, 16), (4, 14, 17), (1, 2, 64), (5, 7, 61), (0, 2, 3), (2, 0, 3)]
"""Steps, sequences, hidden units."""


def operands(op: Recurrence, steps: int, batch: int, hidden: int, kind: Kind = Kind.F32) -> list[Array]:
    rng = np.random.default_rng(steps + batch + hidden)
    cell = op.cell
    shapes = [(steps, batch, cell.gates * hidden), (hidden, cell.gates * hidden), *[(batch, hidden)] * cell.states]
    if cell.parameters:
        shapes.append((cell.parameters, hidden))
    arrays = [rng.uniform(-1, 1, shape).astype(kind.dtype) for shape in shapes]
    arrays[1] /= max(1, hidden) ** 0.5
    return [*arrays, rng.integers(0, steps + 1, batch).astype(np.int32)] if op.ragged else arrays


def check(op: Recurrence, arrays: list[Array], target: Target, calls: int = 2) -> None:
    expected = apply(op, *arrays)
    input, weights, *rest = arrays
    if weights.dtype == np.int16 and has_quads(target):
        weights = weights.astype(np.int8)
    packed = pack_weights(OnArrays(), op, weights, target.lanes(input.dtype.itemsize))
    for again, wanted in zip(apply(PackedRecurrence(op), input, *packed, *rest), expected, strict=True):
        np.testing.assert_array_equal(again, wanted)
    inside = [Operand(input, [(0, 1), (1, 0), (2, 3)], np.nan), *map(Operand, packed)]
    outside = [Operand(array, [(1, 2)] * array.ndim, 3 if array.dtype.kind == "i" else np.nan) for array in rest]
    results = [Operand(np.zeros_like(array), [(1, 1)] * array.ndim, 7) for array in expected]
    inputs = [*inside, *outside]
    kernel = recurrence(op, [r.view for r in results], [o.view for o in inputs], target)
    run(kernel, target, [*results, *inputs], calls)
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.array, wanted, 1e-4, 1e-5)
        assert result.margin_is(7)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("cell", [GruCell(), LstmCell()], ids=lambda cell: type(cell).__name__)
def test_sizes(cell: Cell, size: tuple[int, int, int], target: Target) -> None:
    op = Recurrence(cell)
    check(op, operands(op, *size), target)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cells(cell: Cell, ragged: bool, reverse: bool) -> None:
    op = Recurrence(cell, reverse, ragged)
    check(op, operands(op, 4, 9, 37), TARGETS[0])


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("cell", [RnnCell(), GruCell(), LstmCell(has_peepholes=True)], ids=lambda c: type(c).__name__)
def test_doubles(cell: Cell, target: Target) -> None:
    op = Recurrence(cell, ragged=True)
    check(op, operands(op, 3, 5, 19, Kind.F64), target)


INTEGER_TARGETS = [target for target in (*TARGETS, Target.named("avx512vnni")) if target.runs_here]
"""There are instructions for products of pairs everywhere, for those of quads in the last."""


def quantized(arrays: list[Array], most: int = 127) -> list[Array]:
    """The same operands with weights of 16 bits, none larger than ``most``, and their scales."""
    input, weights, *rest = arrays
    largest = np.abs(weights).max(initial=1e-3)
    steps = np.asarray(np.round(weights * (most / largest)), np.int16)
    scales = np.random.default_rng(0).uniform(0.001, 0.002, weights.shape[1:]).astype(np.float32)
    return [input, steps, scales, *rest]


@pytest.mark.parametrize("target", INTEGER_TARGETS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_quantized_weights(size: tuple[int, int, int], target: Target) -> None:
    op = Recurrence(LstmCell(), ragged=size[1] > 1)
    check(op, quantized(operands(op, *size)), target)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cells_with_quantized_weights(cell: Cell) -> None:
    op = Recurrence(cell, reverse=True)
    check(op, quantized(operands(op, 2, 7, 35)), INTEGER_TARGETS[-1])


@pytest.mark.parametrize("most", [127, 255])
def test_compiled_with_quantized_weights(most: int, tmp_path: Path) -> None:
    """Weights of more than eight bits stay in pairs."""
    op = Recurrence(LstmCell())
    arrays = quantized(operands(op, 3, 5, 21), most)
    assert fits_quads(arrays[1]) == (most == 127)
    for found, wanted in zip(compiled(op, arrays, 1, tmp_path, constant=True), apply(op, *arrays), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)


@settings(max_examples=12, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    reverse=st.booleans(),
    ragged=st.booleans(),
    size=st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 100)),
    target=st.sampled_from(TARGETS),
    calls=st.integers(1, 3),
)
def test_anything(
    cell: Cell, reverse: bool, ragged: bool, size: tuple[int, int, int], target: Target, calls: int
) -> None:
    op = Recurrence(cell, reverse, ragged)
    check(op, operands(op, *size), target, calls)


def compiled(op: Recurrence, arrays: list[Array], threads: int, cache: Path, constant: bool) -> list[Array]:
    """What the whole compiler makes of a graph of one recurrence, with constant weights or not."""
    graph = Graph("g")
    b = Builder(graph)
    given = [b.placeholder(f"x{i}", TensorType.of(array)) for i, array in enumerate(arrays)]
    values = [given[0], b.constant(arrays[1]) if constant else given[1], *given[2:]]
    for number, value in enumerate(b.add_all(op, *values)):
        graph.set_output(f"y{number}", value)
    made = compile_graph(graph, Options(threads=threads, cache=cache))
    feeds = {buffer.name: arrays[int(buffer.name[1:])] for buffer in made.program.inputs}
    return list(made.executable.run(feeds).values())


@pytest.mark.parametrize("cell", [GruCell(), GruCell(reset_after=True), LstmCell(has_peepholes=True)], ids=str)
@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
def test_compiled(cell: Cell, constant: bool, tmp_path: Path) -> None:
    """Weights that are computed are packed when the model runs; any number of threads gives the same bits."""
    op = Recurrence(cell, ragged=True)
    arrays = operands(op, 3, 26, 21)
    expected = apply(op, *arrays)
    found = [compiled(op, arrays, threads, tmp_path, constant) for threads in (1, 2)]
    for one, two, wanted in zip(*found, expected, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, wanted, 1e-4, 1e-5)


@pytest.mark.parametrize("size", [(10, 1, 128), (10, 8, 256), (10, 40, 512)], ids=str)
@pytest.mark.parametrize("cell", [RnnCell(), GruCell(), LstmCell()], ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize("target", [Target.named(name) for name in ("avx512", "avx2")], ids=str)
def test_products_stay_in_registers(cell: Cell, size: tuple[int, int, int], target: Target) -> None:
    op = Recurrence(cell)
    input, weights, *rest = (View.dense(Kind.F32, array.shape) for array in operands(op, *size))
    packed = pack_weights(OnArrays(), op, np.zeros(weights.shape, np.float32), target.lanes(4))
    panels = [View.dense(Kind.F32, panel.shape) for panel in packed]
    results = [View.dense(Kind.F32, size), *rest[: cell.states]]
    assert not spills(recurrence(op, results, [input, *panels, *rest], target), target)
