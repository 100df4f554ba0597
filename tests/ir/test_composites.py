"""Composites: one definition serves types, arrays and graphs, in every kind of float."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from glowpy_ir.dims import Dim, symbol
from glowpy_ir.evaluate import apply, evaluate
from glowpy_ir.graph import Builder, Graph, Node
from glowpy_ir.infer import infer
from glowpy_ir.op import Composite
from glowpy_ir.ops import (
    activation,
    elementwise,
    logic,
    normalization,
    operators_in,
    reduction,
    remainder,
    softmax,
)
from glowpy_ir.rewrite import Replacement, rewrite
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.verify import verify

X = (2, 6, 5, 3)
PER_CHANNEL = ((6,),) * 4

CASES: list[tuple[Composite, tuple[tuple[int, ...], ...]]] = [
    *((op, (X,)) for op in (elementwise.Reciprocal(), logic.IsNan(), logic.IsInf(), logic.IsInf(False))),
    *((op, (X, (5, 1))) for op in (logic.Greater(), logic.GreaterOrEqual(), remainder.Mod(), activation.SwiGlu(0.5))),
    (activation.PRelu(), (X, (6, 1, 1))),
    *((activation.Clip(low, high), (X,)) for low, high in ((None, None), (0, 1), (None, 0.5), (-0.5, None))),
    *((activation.Gelu(approximate), (X,)) for approximate in (False, True)),
    *(
        (op(), (X,))
        for op in operators_in(activation).values()
        if len(op.parameters) == 1 and issubclass(op, Composite)
    ),
    *(
        (op(axes, keepdims), (X,))
        for op in operators_in(reduction).values()
        if issubclass(op, reduction.CompositeReduction)
        for axes, keepdims in (((1,), True), ((0, 2, 3), False), ((), True))
    ),
    *((op(axis), (X,)) for op in (softmax.Softmax, softmax.LogSoftmax, softmax.Hardmax) for axis in (1, 3)),
    (normalization.BatchNormalization(), (X, *PER_CHANNEL)),
    (normalization.BatchTraining(), (X, *PER_CHANNEL)),
    (normalization.Standardize((0, 3)), (X,)),
    (normalization.Standardize((2,), 1e-3, centered=False), (X,)),
    (normalization.LayerNormalization(2), (X, (5, 3))),
    (normalization.LayerNormalization(3), (X, (3,), (5, 3))),
    (normalization.LayerStatistics(2), (X,)),
    (normalization.RmsNormalization(3), (X, (3,))),
    (normalization.InstanceNormalization(), (X, *PER_CHANNEL[:2])),
    (normalization.GroupNormalization(3), (X, *PER_CHANNEL[:2])),
    (normalization.MeanVarianceNormalization((0, 2, 3)), (X,)),
    (normalization.LpNormalization(1, 1), (X,)),
    (normalization.LpNormalization(2), (X,)),
    (normalization.Lrn(3), (X,)),
]
FAMILIES = (elementwise, remainder, logic, activation, reduction, softmax, normalization)


def test_every_composite_has_a_case() -> None:
    composites = {op for op in operators_in(*FAMILIES).values() if issubclass(op, Composite)}
    assert composites == {type(op) for op, _ in CASES}


def operands(shapes: tuple[tuple[int, ...], ...], kind: Kind) -> list[Array]:
    rng = np.random.default_rng(11)
    return [rng.uniform(0.25, 2, shape).astype(kind.dtype) for shape in shapes]


def expand(node: Node, b: Builder) -> Replacement:
    return node.op.expand(b, *node.inputs) if isinstance(node.op, Composite) else None


@pytest.mark.parametrize("kind", sorted(elementwise.FLOATS, key=str), ids=lambda kind: kind.value)
@pytest.mark.parametrize(("op", "shapes"), CASES, ids=lambda item: item.name if isinstance(item, Composite) else "")
def test_types_arrays_and_graphs_agree(op: Composite, shapes: tuple[tuple[int, ...], ...], kind: Kind) -> None:
    arrays = operands(shapes, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = apply(op, *arrays)
    types = tuple(map(TensorType.of, results))
    assert types == infer(op, *map(TensorType.of, arrays))

    graph = Graph("composite")
    b = Builder(graph)
    inputs = [b.placeholder(f"x{i}", TensorType.of(array)) for i, array in enumerate(arrays)]
    for i, value in enumerate(b.add_all(op, *inputs)):
        graph.set_output(f"y{i}", value)
    rewrite(graph, (expand,))
    verify(graph)
    assert not any(isinstance(node.op, Composite) for node in graph.nodes)
    for lowered, result in zip(
        evaluate(graph, {v.name: a for v, a in zip(inputs, arrays, strict=True)}), results, strict=True
    ):
        np.testing.assert_array_equal(lowered, result)

    exact = apply(op, *(array.astype(np.float64) for array in arrays))
    rounding = {Kind.F64: 0, Kind.F32: 1e-5, Kind.F16: 1e-2, Kind.BF16: 5e-2}[kind]
    for result, precise in zip(results, exact, strict=True):
        np.testing.assert_allclose(result.astype(np.float64), precise.astype(np.float64), rounding, rounding)


@pytest.mark.parametrize(("op", "shapes"), CASES, ids=lambda item: item.name if isinstance(item, Composite) else "")
def test_the_first_and_the_last_dimension_may_be_symbols(op: Composite, shapes: tuple[tuple[int, ...], ...]) -> None:
    batch, width = symbol("batch"), symbol("width")
    names: dict[int, Dim] = {2: batch, 3: width}
    static = infer(op, *(TensorType(Kind.F32, shape) for shape in shapes))
    types = [TensorType(Kind.F32, tuple(names.get(dim, dim) for dim in shape)) for shape in shapes]
    for symbolic, known in zip(infer(op, *types), static, strict=True):
        assert symbolic.kind is known.kind
        assert symbolic.shape == tuple(names.get(dim, dim) if isinstance(dim, int) else dim for dim in known.shape)
