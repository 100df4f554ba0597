"""Every element-wise operator, on every kind it takes, widest and narrowest vectors, against its meaning in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cpu.lanes import apply, assembly
from cpu.native import TARGETS, WIDTHS, Array

from glowpy_backends.cpu.body import Body
from glowpy_backends.cpu.builder import F32, Builder, Ssa, constant
from glowpy_backends.cpu.conversion import REGISTERS
from glowpy_backends.cpu.scalars import SCALARS
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import ELEMENTS
from glowpy_ir.errors import GlowError, Unsupported
from glowpy_ir.infer import infer
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Elementwise, Max, Min, Mul, Pow, Splat
from glowpy_ir.ops.functions import Ceil, Floor, Function, Round, Sigmoid, Sqrt
from glowpy_ir.ops.fused import Step
from glowpy_ir.ops.logic import Select
from glowpy_ir.ops.remainder import Remainder
from glowpy_ir.types import Kind, TensorType

EXACT_FUNCTIONS = (Floor, Ceil, Round, Sqrt)
ROUNDING = {Kind.F64: 2e-15, Kind.F32: 3e-7, Kind.F16: 1.1e-3, Kind.BF16: 9e-3}
"""The relative error that is allowed where several roundings are."""


def edges(kind: Kind) -> Array:
    """Numbers at which something special happens."""
    if kind is Kind.BOOL:
        return np.array([False, True])
    if kind.is_integer:
        low, high = (int(limit) for limit in kind.limits)
        near = [v for v in (-9, -8, -2, -1, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 100) if low <= v <= high]
        return np.array([low, low + 1, *near, high - 1, high], kind.dtype)
    numbers = [0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, -3, 7.25, 100, -100, np.inf, -np.inf, np.nan]
    with np.errstate(over="ignore"):
        return np.array([*numbers, 1e-40, -1e-40, 1e30, -1e30, 65504, 65520, 3e9, -3e9, 1e19], kind.dtype)


def pairs(kind: Kind, count: int) -> list[Array]:
    """Every pair of edges, and random numbers after them."""
    special = edges(kind)
    grid = [a.ravel() for a in np.meshgrid(*[special] * count)]
    rng = np.random.default_rng(5)
    if kind.is_integer:
        low, high = (int(limit) for limit in kind.limits)
        more = [rng.integers(low, high, 101, _drawn(kind), endpoint=True).astype(kind.dtype) for _ in range(count)]
    else:
        more = [rng.normal(0, 3, 101).astype(kind.dtype) for _ in range(count)]
    return [np.concatenate(both) for both in zip(grid, more, strict=True)]


def _drawn(kind: Kind) -> np.dtype[Any]:
    """What NumPy draws the numbers of a kind as."""
    return kind.dtype if kind.dtype.isbuiltin == 1 else np.dtype(np.int8)


def cases() -> Iterator[tuple[Elementwise, tuple[Kind, ...]]]:
    """Operators with the kinds of operands that they take; of casts, all combinations."""
    for cls in SCALARS:
        for kind in REGISTERS:
            if cls is Cast:
                yield from ((Cast(to), (kind,)) for to in REGISTERS if to is not Kind.F8E8M0)
                continue
            op = cls()
            assert isinstance(op, Elementwise)
            kinds = (kind,) * len(op.parameters)
            if cls is Select:
                kinds = (Kind.BOOL, kind, kind)
            try:
                infer(op, *(TensorType(k, ()) for k in kinds))
            except GlowError:
                continue
            yield op, kinds


CASES = list(cases())


def name(value: object) -> str:
    if isinstance(value, tuple):
        return str(value[-1].value)
    return f"to {value.to.value}" if isinstance(value, Cast) else type(value).__name__


@pytest.mark.parametrize("target", TARGETS[:: max(1, len(TARGETS) - 1)], ids=lambda target: f"{target.vector_bits}-bit")
@pytest.mark.parametrize(("op", "kinds"), CASES, ids=name)
def test_means_what_numpy_means(op: Elementwise, kinds: tuple[Kind, ...], target: Target) -> None:
    operands = pairs(kinds[-1], len(kinds))
    if kinds[0] is not kinds[-1]:
        operands[0] = np.arange(operands[0].size) % 3 == 0
    body = Body((Step(op, tuple(range(len(kinds)))),), kinds)
    (result,) = infer(op, *(TensorType(kind, ()) for kind in kinds))
    got = apply(lambda b, *vectors: body(b, list(vectors)), target, operands, result.kind)
    if result.kind.is_float and kinds[0].is_float and has_rounding(op):
        wide = op.evaluate(*(operand.astype(np.float64) for operand in operands)).astype(result.kind.dtype)
        tiny = 3e-45 if result.kind is Kind.F32 else 0
        if isinstance(op, Sigmoid) and result.kind is Kind.F32:
            tiny = float(np.finfo(np.float32).tiny)  # what is below the normal numbers may be zero
        np.testing.assert_allclose(got.astype(np.float64), wide.astype(np.float64), ROUNDING[result.kind], tiny)
    else:
        expected = op.evaluate(*operands)
        own = result.kind.dtype
        readable = np.float64 if own.isbuiltin != 1 else own  # NumPy knows no NaN of the kinds of ml_dtypes
        np.testing.assert_array_equal(got.astype(readable), expected.astype(readable))


def has_rounding(op: Elementwise) -> bool:
    """Whether the result may differ in the last bit."""
    return isinstance(op, Pow) or (isinstance(op, Function) and not isinstance(op, EXACT_FUNCTIONS))


def test_a_body_is_a_chain_of_steps() -> None:
    """``max(x, 0) * y`` with a splat in the middle, in half precision."""
    x, y = np.array([-2, 3, 0.1], np.float16), np.array([5, 7, 0.3], np.float16)
    steps = (Step(Splat(0.0, Kind.F16), ()), Step(Max(), (0, 2)), Step(Mul(), (3, 1)))
    body = Body(steps, (Kind.F16, Kind.F16))
    got = apply(lambda b, *vectors: body(b, list(vectors)), TARGETS[0], [x, y])
    np.testing.assert_array_equal(got, np.maximum(x, 0) * y)


@pytest.mark.parametrize("op", [Max(), Min()], ids=["max", "min"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_bounds_by_a_constant_are_one_instruction(op: Elementwise, order: tuple[int, int], target: Target) -> None:
    def emit(b: Builder, x: Ssa) -> Ssa:
        values = [x, constant(0.5, x.type)]
        return SCALARS[type(op)](b, op, [Kind.F32] * 2, [values[i] for i in order])

    text = assembly(emit, target, [F32], F32)
    assert sum(line.split()[0].lstrip("v") in ("maxps", "minps") for line in text.splitlines() if line.strip()) == 1
    assert "cmp" not in text
    assert "blend" not in text
    x = np.array([np.nan, -1, 0.5, 2, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(apply(emit, target, [x]), op.evaluate(x, np.full(6, 0.5, np.float32)))


def test_a_constant_nan_is_no_bound() -> None:
    def emit(b: Builder, x: Ssa) -> Ssa:
        return SCALARS[Max](b, Max(), [Kind.F32] * 2, [x, constant(np.nan, x.type)])

    assert np.isnan(apply(emit, TARGETS[0], [np.ones(16, np.float32)])).all()


def test_relu_keeps_nan_and_infinity() -> None:
    x = np.array([np.nan, -np.inf, np.inf, -0.0, -1e-45, 1e-45], np.float32)
    for target in TARGETS:
        got = apply(lambda b, v: SCALARS[Max](b, Max(), [Kind.F32] * 2, [v, constant(0, v.type)]), target, [x])
        np.testing.assert_array_equal(got, np.maximum(x, 0))


def test_kinds_without_native_arithmetic_are_refused() -> None:
    body = Body((Step(Cast(Kind.STRING), (0,)),), (Kind.F32,))
    with pytest.raises(Unsupported, match=r"f32 to string; use --backend=interpreter"):
        apply(lambda b, x: body(b, [x]), TARGETS[0], [np.ones(3, np.float32)])


def test_every_register_kind_lies_in_memory() -> None:
    assert set(REGISTERS) == set(ELEMENTS)


def test_remainder_of_far_apart_floats() -> None:
    x, y = np.array([1e30, 1e38, -7.5], np.float32), np.array([3, 1e-40, np.inf], np.float32)
    got = apply(lambda b, *v: SCALARS[Remainder](b, Remainder(), [Kind.F32] * 2, v), TARGETS[0], [x, y])
    np.testing.assert_array_equal(got, np.fmod(x, y))
