"""What tests of graphs share: random inputs, and the comparison of what two graphs compute."""

from __future__ import annotations

import numpy as np

from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Graph
from glowpy_ir.types import Array, Kind


def random_feeds(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """An array for each input: numbers of a few bits, so that arithmetic with them rounds little."""
    rng = np.random.default_rng(seed)
    return {
        v.name: (rng.integers(-8, 9, v.type.extents) / scale(v.type.kind)).astype(v.type.kind.dtype)
        for v in graph.inputs
    }


def scale(kind: Kind) -> int:
    return 4 if kind.is_float else 1


def assert_same_meaning(before: list[Array], graph: Graph, feeds: dict[str, Array]) -> None:
    """Fail unless ``graph`` computes what ``before`` holds, but for rounding."""
    for expected, found in zip(before, evaluate(graph, feeds), strict=True):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(found, expected)
            continue
        finite = np.abs(expected[np.isfinite(expected)]).max(initial=1)
        tolerance = 100 * float(np.finfo(expected.dtype).eps)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * float(finite))
