"""Products of 16-bit floats are products of f32 that are rounded once."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cpu.whole import agree

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.source import copy_graph
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph
from glowpy_ir.op import Op
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Mul, Splat
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.program import Compute
from glowpy_ir.types import Kind, TensorType

RNG = np.random.default_rng(7)
OP = Conv((2, 1), (1, 0), (0, 1), (1, 1), 1)
CASES: list[tuple[Op, tuple[tuple[int, ...], ...]]] = [
    (MatMul(), ((2, 3, 5, 7), (3, 7, 19))),
    (MatMul(), ((1, 33), (33, 1))),
    (OP, ((1, 3, 9, 11), (17, 3, 3, 3), (17,))),
]


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float16, 2**-10), (ml_dtypes.bfloat16, 2**-7)])
@pytest.mark.parametrize("known", [(), (1, 2)])
def test_products(known: tuple[int, ...], dtype: type[np.generic], rounding: float, tmp_path: Path) -> None:
    for op, shapes in CASES:
        operands = [RNG.standard_normal(shape).astype(np.float32).astype(dtype) for shape in shapes]
        agree(op, *operands, known=known, tolerance=rounding, cache=tmp_path)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16])
def test_no_kernel_adds_halves(kind: Kind) -> None:
    """LLVM would call functions for that which not every process has, and round each sum."""
    graph = Graph("product")
    b = Builder(graph)
    x, y = (b.placeholder(name, TensorType(kind, (5, 5))) for name in "xy")
    graph.set_output("z", b.add(MatMul(), x, y))
    program = compile_graph(graph, Options(threads=1)).program
    (product,) = [i for i in program.instructions if isinstance(i, Compute) and "MatMul" in str(i.op)]
    assert {buffer.type.kind for buffer in product.inputs} == {Kind.F32}


def test_factors_are_rounded_before_they_are_multiplied() -> None:
    graph = Graph("scaled")
    b = Builder(graph)
    x, y = (b.placeholder(name, TensorType(Kind.F16, (17, 17))) for name in "xy")
    half = b.add(Mul(), x, b.add(Splat(0.5947265625, Kind.F16)))
    graph.set_output("z", b.add(MatMul(), half, y))
    feeds = {name: RNG.random((17, 17)).astype(np.float16) for name in "xy"}
    (expected,) = evaluate(graph, feeds)
    compiled = compile_graph(copy_graph(graph), Options(threads=1))
    result = compiled.executable.run(feeds)["z"]
    assert np.count_nonzero(result != expected) <= 3  # sums of f32 in another order
