"""Quantized composites: types, arrays and lowered graphs agree, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import onnx.numpy_helper
import pytest

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply, evaluate
from glowpy_ir.graph import Builder, Graph, Node
from glowpy_ir.infer import infer
from glowpy_ir.op import Composite
from glowpy_ir.ops import operators_in, quantization
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.quantization import (
    CastToPower,
    ConvInteger,
    DequantizeLinear,
    DynamicQuantizeLinear,
    MatMulInteger,
    QLinearConv,
    QLinearMatMul,
    QuantizeLinear,
    Requantize,
    Rounding,
    UnpackBits,
)
from glowpy_ir.rewrite import Replacement, rewrite
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.verify import verify

RNG = np.random.default_rng(31)
CONV = Conv((1, 1), (1, 1), (1, 1), (1, 1))
TEN = np.asarray(10, np.uint8)
HALF = np.asarray(0.5, np.float32)
X = RNG.standard_normal((2, 6, 5)).astype(np.float32)
IMAGE, KERNEL = RNG.integers(0, 255, (1, 3, 4, 4), np.uint8), RNG.integers(-99, 99, (5, 3, 3, 3), np.int8)
LHS, RHS = RNG.integers(0, 255, (4, 6), np.uint8), RNG.integers(-99, 99, (6, 3), np.int8)
NONE = np.asarray(0, np.int8)
SCALES = np.linspace(0.1, 0.5, 6, dtype=np.float32)

CASES: list[tuple[Composite, tuple[Array, ...]]] = [
    (QuantizeLinear(), (X, HALF, TEN)),
    (QuantizeLinear(Kind.I8, axis=1), (X, SCALES)),
    (QuantizeLinear(Kind.I4, axis=1, block=3), (X, np.full((2, 2, 5), 0.3, np.float32))),
    (QuantizeLinear(Kind.F8E4M3FN, precision=Kind.F16), (X, HALF)),
    (DequantizeLinear(), (LHS, HALF, TEN)),
    (DequantizeLinear(axis=1, kind=Kind.F16), (LHS, SCALES)),
    (DynamicQuantizeLinear(), (X,)),
    (MatMulInteger(), (LHS, RHS, TEN, NONE)),
    (ConvInteger(CONV), (IMAGE, KERNEL, TEN)),
    (Requantize(), (RNG.integers(-999, 999, (3, 4), np.int32), HALF, TEN)),
    (QLinearMatMul(), (LHS, HALF, TEN, RHS, HALF, NONE, np.asarray(9, np.float32), TEN)),
    (QLinearConv(CONV), (IMAGE, HALF, TEN, KERNEL, SCALES[:5], np.zeros(5, np.int8), HALF * 99, TEN)),
    (UnpackBits(4), (LHS,)),
    (CastToPower(), (X,)),
]


def test_every_composite_has_a_case() -> None:
    assert set(operators_in(quantization).values()) == {type(op) for op, _ in CASES}


def expand(node: Node, b: Builder) -> Replacement:
    return node.op.expand(b, *node.inputs) if isinstance(node.op, Composite) else None


@pytest.mark.parametrize(("op", "arrays"), CASES, ids=lambda item: item.name if isinstance(item, Composite) else "")
def test_types_arrays_and_graphs_agree(op: Composite, arrays: tuple[Array, ...]) -> None:
    results = apply(op, *arrays)
    assert infer(op, *map(TensorType.of, arrays)) == tuple(map(TensorType.of, results))
    graph = Graph("composite")
    b = Builder(graph)
    inputs = [b.placeholder(f"x{i}", TensorType.of(array)) for i, array in enumerate(arrays)]
    for i, value in enumerate(b.add_all(op, *inputs)):
        graph.set_output(f"y{i}", value)
    rewrite(graph, (expand,))
    verify(graph)
    lowered = evaluate(graph, {value.name: array for value, array in zip(inputs, arrays, strict=True)})
    for found, result in zip(lowered, results, strict=True):
        assert found.tobytes() == result.tobytes()


@pytest.mark.parametrize(
    ("op", "types", "message"),
    [
        (QuantizeLinear(Kind.I8), ["f32[2,3]", "f32[]", "u8[]"], "the zero of a tensor of i8"),
        (QuantizeLinear(Kind.F32), ["f32[2,3]", "f32[]"], "not quantized as f32"),
        (QuantizeLinear(axis=2), ["f32[2,3]", "f32[3]"], "no scale or zero"),
        (QuantizeLinear(axis=1, block=2), ["f32[2,3]", "f32[2,3]"], "blocks of 2"),
        (DequantizeLinear(), ["u8[3]", "f8e8m0[]"], "not dequantized to f8e8m0"),
        (DequantizeLinear(), ["u8[3]", "f32[]", "i8[]"], "the zero of u8"),
        (UnpackBits(3), ["u8[3]"], "numbers of 3 bits"),
        (UnpackBits(4), ["i8[3]"], "numbers of 4 bits"),
        (ConvInteger(CONV), ["f32[1,3,4,4]", "i8[5,3,3,3]"], "kinds differ"),
    ],
)
def test_what_does_not_fit_is_refused(op: Composite, types: list[str], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *map(TensorType.parse, types))


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("saturate", [True, False])
def test_powers_of_two(rounding: Rounding, saturate: bool) -> None:
    edges = np.arange(0, 1 << 32, 0x400000).astype(np.uint32)
    bits = np.concatenate([RNG.integers(0, 1 << 32, 2000, np.uint32), edges])
    x = np.concatenate([bits, bits + 1, bits - 1]).view(np.float32)
    with np.errstate(all="ignore"):
        expected = onnx.numpy_helper.to_float8e8m0(x, saturate, rounding.value)
        (found,) = apply(CastToPower(rounding, saturate), x)
    np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
