"""The interpreter backend on elements of every kind."""

from __future__ import annotations

import numpy as np
import pytest

import glowpy
from glowpy_ir import Builder, Graph, TensorType
from glowpy_ir.ops.movement import Transpose
from glowpy_ir.types import Kind


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.STRING])
def test_strides_of_all_kinds(kind: Kind) -> None:
    graph = Graph("g")
    b = Builder(graph)
    graph.set_output("y", b.add(Transpose((1, 0)), b.placeholder("x", TensorType(kind, (2, 3)))))
    x = np.array([[0, 1, 1], [1, 0, 1]], np.int8).astype(np.float32).astype(kind.dtype)
    y = glowpy.compile(graph, backend="interpreter")(x)
    assert isinstance(y, np.ndarray)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.astype(np.float32), x.T.astype(np.float32))
