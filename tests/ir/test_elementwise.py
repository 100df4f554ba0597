"""Element-wise operators: which kinds they take, how they round, wrap and broadcast."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops import ALL
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import (
    Add,
    Binary,
    Div,
    Elementwise,
    Max,
    Mul,
    Pow,
    Splat,
    Sub,
    Unary,
    broadcast_shapes,
)
from glowpy_ir.ops.functions import Abs, Erf, Exp, Neg, Sigmoid, Tanh
from glowpy_ir.ops.logic import Select
from glowpy_ir.ops.remainder import Mod, Remainder
from glowpy_ir.types import Array, Kind, Quantization, TensorType

OPERATORS: Sequence[Elementwise] = [
    cls() for cls in ALL.values() if issubclass(cls, Unary | Binary | Select) and cls is not Cast
] + [Cast(kind) for kind in Kind if kind is not Kind.F8E8M0]

INTERESTING = [
    0,
    1,
    -1,
    2,
    3,
    -5,
    100,
    127,
    -128,
    255,
    0.5,
    -0.5,
    2.5,
    1e-3,
    1e30,
    -1e30,
    math.inf,
    -math.inf,
    math.nan,
]


def numbers(rng: np.random.Generator, kind: Kind, shape: tuple[int, ...]) -> Array:
    """Elements of any kind, the awkward ones among them."""
    if kind is Kind.BOOL:
        return np.asarray(rng.integers(0, 2, shape) > 0)
    if kind is Kind.STRING:
        return np.asarray(rng.integers(0, 8, shape)).astype(np.str_).astype(object)
    values = rng.choice(INTERESTING, shape) if kind.is_float else rng.integers(-300, 300, shape)
    with np.errstate(all="ignore"):
        return np.asarray(Cast(kind).evaluate(np.asarray(values)))


def operands(rng: np.random.Generator, op: Op, kind: Kind, shapes: list[tuple[int, ...]]) -> list[Array]:
    """Operands of ``kind`` for an element-wise operator; a condition is boolean."""
    return [
        numbers(rng, Kind.BOOL if parameter.name == "condition" else kind, shape)
        for parameter, shape in zip(op.parameters, shapes, strict=False)
    ]


def fits(strings: Array, kind: Kind) -> bool:
    """Whether the integers in the strings are all of this kind; two bits hold few."""
    return not kind.is_integer or all(int(text) <= kind.limits[1] for text in strings.flat)


shapes = st.sampled_from([(3, 1), (4,), (), (3, 4), (2, 1, 4), (1,), (2, 3, 1), (2, 3, 4), (0, 1, 1)])


@settings(max_examples=300, deadline=None)
@given(
    op=st.sampled_from(OPERATORS),
    kind=st.sampled_from(Kind),
    where=st.tuples(shapes, shapes, shapes),
    seed=st.integers(0, 99),
)
def test_types_and_arrays_agree(op: Elementwise, kind: Kind, where: tuple[tuple[int, ...], ...], seed: int) -> None:
    arrays = operands(np.random.default_rng(seed), op, kind, list(where))
    types = [TensorType.of(array) for array in arrays]
    if kind not in op.kinds:
        with pytest.raises(TypeMismatch, match=op.name):
            infer(op, *types)
        return
    try:
        np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        with pytest.raises(TypeMismatch, match="broadcast"):
            infer(op, *types)
        return
    if kind is Kind.STRING and isinstance(op, Cast) and not fits(arrays[0], op.to):
        with pytest.raises(UsageError, match="out of range"):
            apply(op, *arrays)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = apply(op, *arrays)
    assert tuple(map(TensorType.of, results)) == infer(op, *types)
    if op.commutative:
        swapped = apply(op, *reversed(arrays))[0]
        as_known: type = np.float64 if infer(op, *types)[0].kind.is_float else np.int64
        np.testing.assert_array_equal(swapped.astype(as_known), results[0].astype(as_known))


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16])
@pytest.mark.parametrize("op", [Add(), Mul(), Div(), Pow(), Exp(), Tanh(), Sigmoid(), Erf()], ids=lambda op: op.name)
def test_halves_are_rounded_once(op: Elementwise, kind: Kind) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.uniform(0.1, 3, 500).astype(kind.dtype) for _ in op.parameters]
    exact = apply(op, *(array.astype(np.float64) for array in arrays))[0].astype(np.float32)
    np.testing.assert_array_equal(apply(op, *arrays)[0], exact.astype(kind.dtype))


@pytest.mark.parametrize("kind", [Kind.I8, Kind.I16, Kind.I32, Kind.I64])
def test_integers_wrap(kind: Kind) -> None:
    low, high = (np.array(limit, kind.dtype) for limit in kind.limits)
    one = np.array(1, kind.dtype)
    assert apply(Add(), high, one)[0] == low
    assert apply(Sub(), low, one)[0] == high
    assert apply(Neg(), low)[0] == low
    assert apply(Abs(), low)[0] == low
    assert apply(Div(), low, -one)[0] == low


@given(st.integers(-128, 127), st.integers(-128, 127))
def test_division_of_integers(dividend: int, divisor: int) -> None:
    lhs, rhs = np.array(dividend, np.int8), np.array(divisor, np.int8)
    quotient, remainder, modulus = (int(apply(op, lhs, rhs)[0]) for op in (Div(), Remainder(), Mod()))
    if divisor == 0:
        assert quotient == remainder == modulus == 0
        return
    exact = math.trunc(dividend / divisor)
    assert quotient == (exact if exact < 128 else -128)
    assert remainder == int(math.fmod(dividend, divisor))
    assert modulus == dividend % divisor


@given(st.integers(-5, 5), st.integers(-4, 4))
def test_powers_of_integers(base: int, exponent: int) -> None:
    power = int(apply(Pow(), np.array(base), np.array(exponent))[0])
    if base == 0 and exponent < 0:
        assert power == 0
    else:
        assert power == math.trunc(float(base) ** exponent)


CASTS: list[tuple[Any, Any, Kind, list[Any]]] = [
    (np.float32, [2.9, -2.9, 1e20, -1e20, math.nan, math.inf], Kind.I32, [2, -2, 2**31 - 1, -(2**31), 0, 2**31 - 1]),
    (np.float64, [2.0**63, -(2.0**63), 2.0**62], Kind.I64, [2**63 - 1, -(2**63), 2**62]),
    (np.float32, [-1, 2.0**64, 2.0**63], Kind.U64, [0, 2**64 - 1, 2**63]),
    (np.float16, [300, -1], Kind.U8, [255, 0]),
    (np.int32, [300, -1, 127], Kind.I8, [44, -1, 127]),
    (np.int32, [7, 8, -9], Kind.I4, [7, -8, 7]),
    (np.float32, [0.0, -0.0, 0.1, math.nan], Kind.BOOL, [False, False, True, True]),
    (np.float32, [3.7, 1e20], Kind.STRING, ["3.7", "1e+20"]),
    (object, ["12", " -3"], Kind.I8, [12, -3]),
    (object, ["1e-2", "+INF", "nan"], Kind.F32, [np.float32(0.01), math.inf, math.nan]),
    (ml_dtypes.int4, [-8, 7], Kind.U8, [248, 7]),
    (ml_dtypes.uint4, [15, 7], Kind.I4, [-1, 7]),
    (np.float32, [1 + 2**-8, 1 + 3 * 2**-8, 3.4e38], Kind.BF16, [1.0, 1 + 2**-6, math.inf]),
]


@pytest.mark.parametrize(("source", "given", "to", "expected"), CASTS)
def test_casts(source: Any, given: list[Any], to: Kind, expected: list[Any]) -> None:
    result = apply(Cast(to), np.array(given, np.float64 if source is np.float16 else None).astype(source))[0]
    assert str(result.tolist()) == str([x.item() if isinstance(x, np.generic) else x for x in expected])


@pytest.mark.parametrize(("text", "reason"), [("-1", "out of range"), ("256", "out of range"), ("1.5", "no number")])
def test_strings_that_fit_no_number_are_told(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"cannot cast '{text}' to u8: it is {reason}"):
        apply(Cast(Kind.U8), np.array([text], object))


def test_broadcasting_of_symbols() -> None:
    n = symbol("n")
    assert broadcast_shapes((n, 1), (4,)) == (n, 4)
    with pytest.raises(TypeMismatch, match=r"\[n\] and \[4\]"):
        broadcast_shapes((n,), (4,))


def test_kinds_do_not_mix() -> None:
    with pytest.raises(TypeMismatch, match="Max: element kinds differ"):
        infer(Max(), TensorType(Kind.F32, (2,)), TensorType(Kind.F16, (2,)))
    with pytest.raises(TypeMismatch, match="condition of Select must be bool"):
        infer(Select(), *[TensorType(Kind.F32, (2,))] * 3)
    with pytest.raises(TypeMismatch, match="quantized"):
        infer(Abs(), TensorType(Kind.I8, (2,), Quantization(0.1)))


def test_splat() -> None:
    assert apply(Splat(2**62 + 1, Kind.I64, (2,)))[0].tolist() == [2**62 + 1] * 2
    assert apply(Splat(0.1, Kind.BF16))[0].shape == ()
