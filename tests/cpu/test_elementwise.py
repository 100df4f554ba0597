"""Stacks of element-wise operators on tensors that lie anyhow, splats and halos, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, Operand, run
from hypothesis import given, settings
from hypothesis import strategies as st

from glowpy_backends.cpu.body import Body
from glowpy_backends.cpu.kernels.elementwise import stack
from glowpy_backends.cpu.kernels.fill import halo, splat
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Max, Mul, Splat
from glowpy_ir.ops.fused import Fused, Step
from glowpy_ir.ops.logic import Less, Select
from glowpy_ir.types import Kind, TensorType, kind_of

MULTIPLY_ADD = (Step(Mul(), (0, 1)), Step(Add(), (3, 2)))


def view(array: Array) -> View:
    strides = tuple(s // array.itemsize for s in array.strides)
    return View(TensorType.of(array).kind, array.shape, strides)


def check(body: tuple[Step, ...], operands: list[Array], target: Target, turn: tuple[int, ...] | None = None) -> None:
    """The stack on operands broadcast to each other; ``turn`` orders the result's dimensions in memory."""
    expected = Fused(None, 0, body).evaluate(*operands)
    turn = turn or tuple(range(expected.ndim))
    memory = Operand(np.zeros(tuple(expected.shape[d] for d in turn), expected.dtype), [(1, 2)] * expected.ndim, fill=1)
    y = memory.array.transpose(np.argsort(turn)) if turn else memory.array
    wide = [np.broadcast_to(operand, expected.shape) for operand in operands]
    kinds = tuple(kind for operand in operands if (kind := kind_of(operand.dtype)))
    kernel = stack(view(y), [view(operand) for operand in wide], Body(body, kinds), target)
    run(kernel, target, [y, *wide], calls=3)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
    assert memory.margin_is(1)


def numbers(*shape: int, dtype: type[np.generic] = np.float32) -> Array:
    return np.random.default_rng(len(shape)).integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    "shape", [(), (5,), (67,), (3, 5), (2, 3, 70), (7, 1, 16), (40, 3), (3, 7, 5, 33), (20000,), (3, 9001)], ids=str
)
def test_shapes(shape: tuple[int, ...], target: Target) -> None:
    check(MULTIPLY_ADD, [numbers(*shape) for _ in range(3)], target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("shapes", [((5, 1), (37,), ()), ((2, 1, 19), (3, 1), (2, 3, 19)), ((1, 1), (4, 8), (4, 1))])
def test_broadcast(shapes: tuple[tuple[int, ...], ...], target: Target) -> None:
    check(MULTIPLY_ADD, [numbers(*shape) for shape in shapes], target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_orders_of_dimensions(turn: tuple[int, ...], target: Target) -> None:
    turned = numbers(33, 7, 5).transpose(2, 1, 0)
    check(MULTIPLY_ADD, [numbers(5, 7, 33), turned, numbers(10, 7, 66)[::-2, :, ::2]], target, turn)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_kinds_together(target: Target) -> None:
    """Masks, halves and integers of several sizes in one body; the widest decides how many lanes there are."""
    body = (
        Step(Less(), (0, 1)),
        Step(Cast(Kind.F64), (2,)),
        Step(Cast(Kind.F64), (0,)),
        Step(Select(), (4, 5, 6)),
        Step(Splat(0.5, Kind.F64), ()),
        Step(Mul(), (7, 8)),
        Step(Select(), (3, 9, 6)),
    )
    operands = [numbers(3, 41), numbers(41), numbers(3, 41, dtype=np.float16), numbers(3, 41) > 0]
    check(body, operands, target)
    check((Step(Less(), (0, 1)),), operands[:2], target)
    check((Step(Cast(Kind.U8), (0,)),), [np.abs(numbers(77))], target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_over_an_operand(target: Target) -> None:
    x, y = Operand(numbers(6, 35)), Operand(numbers(6, 35))
    expected = np.maximum(x.array, y.array)
    kernel = stack(x.view, [x.view, y.view], Body((Step(Max(), (0, 1)),), (Kind.F32, Kind.F32)), target)
    run(kernel, target, [x, x, y], calls=2)
    np.testing.assert_array_equal(x.array, expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_any_tensors(data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(TARGETS))
    shape = data.draw(st.lists(st.integers(1, 21), min_size=1, max_size=4))
    operands = []
    for _ in range(3):
        kept = [n if data.draw(st.booleans()) else 1 for n in shape]
        operands.append(numbers(*kept).transpose(range(len(kept))))
    operands[0] = numbers(*shape)[tuple(slice(None, None, data.draw(st.sampled_from((1, -1)))) for _ in shape)]
    check(MULTIPLY_ADD, operands, target, tuple(data.draw(st.permutations(range(len(shape))))))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("to", [Kind.I8, Kind.I16, Kind.F8E4M3FN, Kind.F16], ids=str)
@pytest.mark.parametrize("count", [1, 9, 17])
def test_narrowed_elements(count: int, to: Kind, target: Target) -> None:
    """A last element is stored in its own width (LLVM's masked stores of a single lane are not)."""
    x, y = numbers(count), Operand(np.zeros(count, to.dtype), [(1, 7)], fill=1)
    run(stack(y.view, [view(x)], Body((Step(Cast(to), (0,)),), (Kind.F32,)), target), target, [y, x])
    np.testing.assert_array_equal(y.array.astype(np.float32), x)
    assert y.margin_is(1)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.U8, Kind.I64, Kind.BOOL], ids=str)
def test_splat(kind: Kind, target: Target) -> None:
    y = Operand(np.zeros((3, 37), kind.dtype), [(1, 1), (2, 3)])
    run(splat(y.view, Splat(1, kind, y.view.shape), target), target, [y], calls=2)
    assert (y.array == 1).all()
    assert y.margin_is(0)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    ("shape", "margins"),
    [
        ((5,), ((2, 3),)),
        ((2, 3, 5, 4, 8), ((0, 0), (0, 0), (1, 2), (3, 1), (0, 0))),
        ((2, 7, 9), ((1, 0), (0, 0), (0, 4))),
        ((1, 1), ((0, 70), (70, 0))),
        ((3, 4), ((1, 1), (0, 0))),
    ],
    ids=str,
)
def test_halo(shape: tuple[int, ...], margins: tuple[tuple[int, int], ...], target: Target) -> None:
    tensor = Operand(np.full(shape, 5, np.float32), margins, fill=np.nan)
    run(halo(Kind.F32, shape, margins, target), target, [tensor], calls=2)
    assert tensor.margin_is(0)
    assert (tensor.array == 5).all()
