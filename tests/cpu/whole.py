"""Compiles single operators for the tests of the CPU backend, and compares them with what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy_ir.evaluate import apply
from glowpy_ir.graph import Builder, Graph
from glowpy_ir.op import Op
from glowpy_ir.types import Array, TensorType


def agree(
    op: Op,
    *operands: Array,
    known: tuple[int, ...] = (),
    target: str | None = None,
    tolerance: float = 1e-5,
    cache: Path | None = None,
) -> None:
    """Fail unless the compiled operator gives what its meaning gives, up to the tolerance times the range.

    Operands whose number is in ``known`` are constants.
    """
    graph = Graph("one")
    b = Builder(graph)
    values = [
        b.constant(array) if i in known else b.placeholder(f"x{i}", TensorType.of(array))
        for i, array in enumerate(operands)
    ]
    results = b.add_all(op, *values)
    for i, result in enumerate(results):
        graph.set_output(f"y{i}", result)
    compiled = compile_graph(graph, Options(threads=2, target=target, cache=cache), Trace(check=True))
    feeds = {v.name: a for i, (v, a) in enumerate(zip(values, operands, strict=True)) if i not in known}
    found = compiled.executable.run(feeds)
    for wanted, made in zip(apply(op, *operands), found.values(), strict=True):
        assert (made.shape, made.dtype) == (wanted.shape, wanted.dtype)
        if not wanted.size:
            continue
        exact = wanted.astype(np.float64)
        most = np.abs(exact[np.isfinite(exact)]).max(initial=1.0)
        np.testing.assert_allclose(made.astype(np.float64), exact, rtol=tolerance, atol=tolerance * most)
