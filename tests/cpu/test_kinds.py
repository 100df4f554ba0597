"""Every primitive on every kind of elements that it takes: one native program for each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ml_dtypes
import numpy as np
import pytest

from glowpy.compiler import compile_graph
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy_backends.cpu.operators import OPERATORS
from glowpy_backends.cpu.scalars import SCALARS
from glowpy_backends.cpu.select import KERNELS
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.attention import StateWalk
from glowpy_ir.ops.convert import SMALL_INTEGERS, BitCast, Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.counting import Iota, RunningProduct, RunningSum
from glowpy_ir.ops.determinant import Determinant
from glowpy_ir.ops.elementwise import FLOATS, NUMBERS, Splat
from glowpy_ir.ops.fused import FusedAttention
from glowpy_ir.ops.indexing import Gather, GatherND, ScatterND, Update
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import Select
from glowpy_ir.ops.lookup import FindKey
from glowpy_ir.ops.movement import Concat, Copy, Expand, Pad, Reshape, Slice, Transpose
from glowpy_ir.ops.normalization import Standardize
from glowpy_ir.ops.pooling import ArgMaxPool, AveragePool, MaxPool
from glowpy_ir.ops.reduction import ArgMax, ArgMin, ReduceMax, ReduceMin, ReduceProd, ReduceSum
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.ops.roi import MaxRoiPool, RoiAlign
from glowpy_ir.ops.sampling import Sample
from glowpy_ir.ops.scores import CouplePairs
from glowpy_ir.ops.selection import NonZero, SuppressOverlaps
from glowpy_ir.ops.softmax import LogSoftmax, Softmax
from glowpy_ir.ops.sorting import RowOrder, TopK
from glowpy_ir.ops.trees import TreeEnsemble
from glowpy_ir.types import Array, Kind, TensorType

OTHERS = (FusedAttention, StateWalk, SuppressOverlaps, TreeEnsemble)
"""Operators whose operands have other kinds and shapes, tested on their own."""

WINDOW = ((2, 3), (2, 1), (1, 1), (0, 1), (1, 2))
ONES = (1, 1)

PLACES = {
    "mask": np.arange(105).reshape(3, 5, 7) % 3 == 0,
    "rows": np.array([2, -3, 0, 1]),
    "tuples": np.array([[2, 4], [0, 1], [1, -1]]),
    "taps": np.array([[0, 1], [6, 2], [3, 3]], np.int32),
    "weights": np.array([[0.5, 0.5], [1, 0], [0.25, 0.5]], np.float32),
    "batch": np.array([0, 1]),
}
"""Operands that say where, whatever the kind of the others."""

REGIONS = {"regions": np.array([[0, 0, 0, 3, 3], [1, 1, 2, 6, 4]]), "boxes": np.array([[0, 0, 3, 3], [1, 2, 6, 4]])}
"""Parts of images, of the kind of these."""

SHAPES = {
    "x": (3, 5, 7), "y": (3, 5, 7), "row": (7,), "image": (2, 3, 5, 7), "filter": (2, 3, 3, 2), "left": (3, 5, 7),
    "right": (7, 3), "square": (3, 3), "matrix": (5, 3), "updates": (3, 7), "pairs": (5, 3),
}  # fmt: skip
"""Operands of the kind at hand."""


def cases(kind: Kind) -> Iterator[tuple[Op, Sequence[str]]]:
    """Operators and the names of their operands."""
    for cls in SCALARS:
        if cls is Select:
            yield Select(), ("mask", "x", "y")
        elif cls is not Cast:
            op = cls()
            yield op, ("x", "y")[: len(op.parameters)]
            yield op, ("x", "row")[: len(op.parameters)]
    yield from ((op, ("x",)) for op in (
        Copy(), Transpose((2, 0, 1)), Reshape((7, 15)), Expand((2, 3, 5, 7)), Slice((0, 4, 1), (3, 5, 3), (1, -1, 2)),
        Pad((1, 0, 2), (0, 3, 1), 1.0), Repeat((1, 3, 2)), NonZero(), TopK(1, 3), TopK(2, 7, False),
        RunningSum(1), RunningProduct(2), Softmax(1), LogSoftmax(2), Standardize((2,), 1e-5),
        *(cls(axes) for cls in (ReduceMax, ReduceMin, ReduceProd, ReduceSum) for axes in ((1,), (0, 2))),
        *(cls(axis) for cls in (ArgMax, ArgMin) for axis in (0, 2)),
        *(BitCast(to) for to in Kind), *(Cast(to) for to in (Kind.F32, Kind.U8, Kind.BOOL)),
    ))  # fmt: skip
    yield Concat(1), ("x", "y")
    yield Splat(1, kind, (3, 5)), ()
    yield Iota(11, kind), ()
    yield RowOrder(), ("matrix",)
    yield Gather(1), ("x", "rows")
    yield GatherND(), ("x", "tuples")
    yield from ((ScatterND(update), ("x", "tuples", "updates")) for update in Update)
    yield MatMul(), ("left", "right")
    yield Conv(ONES, ONES, (0, 1), ONES), ("image", "filter")
    yield from ((cls(*WINDOW), ("image",)) for cls in (MaxPool, AveragePool, ArgMaxPool))
    yield Resample(2), ("x", "taps", "weights")
    yield Determinant(), ("square",)
    yield CouplePairs(3), ("pairs",)
    yield MaxRoiPool((2, 2)), ("image", "regions")
    yield Sample(), ("image", "places")
    yield RoiAlign((2, 2)), ("image", "boxes", "batch")
    yield FindKey(), ("x", "keys")


def readable(array: Array) -> Array:
    """Elements as NumPy compares them."""
    kind = TensorType.of(array).kind
    if kind in SMALL_INTEGERS:
        return array.astype(np.int8)
    return array.astype(np.float64) if kind.is_float else array


def operand(name: str, kind: Kind, rng: np.random.Generator) -> Array:
    """Elements that are near each other, so that they meet, and not negative, so that all operators know them."""
    low, high = max(kind.limits[0], 1), min(kind.limits[1], 5)
    numbers = rng.integers(int(low), int(high), SHAPES[name], endpoint=True)
    return (numbers % 2 if kind is Kind.BOOL else numbers).astype(kind.dtype)


def taken(op: Op, names: Sequence[str], values: dict[str, Value]) -> bool:
    """Whether the operator takes operands of the kind at hand."""
    if not values.keys() >= set(names):
        return False
    try:
        infer(op, *(values[name].type for name in names))
    except TypeMismatch:
        return False
    return True


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.STRING], ids=lambda kind: kind.value)
def test_every_primitive(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    feeds = {name: operand(name, kind, rng) for name in SHAPES} | PLACES
    if kind in FLOATS:
        feeds |= {name: array.astype(kind.dtype) for name, array in REGIONS.items()}
        feeds["places"] = rng.uniform(-1, 7, (2, 5, 2)).astype(np.float64 if kind is Kind.F64 else np.float32)
    if kind in NUMBERS:
        feeds["keys"] = np.unique(feeds["row"])
    graph = Graph("all")
    b = Builder(graph)
    values: dict[str, Value] = {name: b.placeholder(name, TensorType.of(array)) for name, array in feeds.items()}
    for number, (op, names) in enumerate(cases(kind)):
        if taken(op, names, values):
            for result in b.add_all(op, *(values[name] for name in names)):
                graph.set_output(f"{op.name}.{number}.{len(graph.outputs)}", result)
    wanted = evaluate(graph, feeds)
    made = compile_graph(graph, Options(threads=2), Trace(check=False)).executable.run(feeds)
    rough = 8 * float(ml_dtypes.finfo(kind.dtype).eps) if kind.is_float and kind is not Kind.F8E8M0 else 0
    for (name, found), expected in zip(made.items(), wanted, strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        got, exact = readable(found), readable(expected)
        if exact.dtype.kind == "f":
            np.testing.assert_allclose(got, exact, rtol=rough, atol=rough, err_msg=name)
        else:
            np.testing.assert_array_equal(got, exact, name)


def test_no_primitive_is_forgotten() -> None:
    tried = {type(op) for kind in Kind for op, _ in cases(kind)}
    native = {*SCALARS, *KERNELS}.difference(OPERATORS)
    assert native <= tried | set(OTHERS)
