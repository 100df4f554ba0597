"""Derivatives agree with what small steps show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from glowpy_ir.errors import Unsupported
from glowpy_ir.evaluate import evaluate
from glowpy_ir.gradients import gradients
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.ops import activation, convert, elementwise, functions, linear, logic, movement, reduction, softmax
from glowpy_ir.types import Array, Kind, TensorType
from glowpy_ir.verify import verify

RNG = np.random.default_rng(1)
Function = Callable[[Builder, Value, Value], Value]


def unary(op: elementwise.Elementwise) -> Function:
    return lambda b, x, z: b.add(elementwise.Mul(), b.add(op, x), b.add(op, z))


def times(make: Function) -> Function:
    """A product with something, so that what comes back is not the same everywhere."""
    return lambda b, x, z: b.add(elementwise.Mul(), make(b, x, z), z)


def product(b: Builder, x: Value, z: Value) -> Value:
    return b.add(linear.MatMul(), x, b.add(movement.Transpose((1, 0)), b.add(elementwise.Add(), x, z)))


def chosen(b: Builder, x: Value, z: Value) -> Value:
    return b.add(logic.Select(), b.add(logic.Less(), x, z), b.add(elementwise.Mul(), x, x), z)


FUNCTIONS: dict[str, Function] = {
    "add": lambda b, x, z: b.add(elementwise.Add(), x, z),
    "sub": times(lambda b, x, z: b.add(elementwise.Sub(), x, z)),
    "div": lambda b, x, z: b.add(elementwise.Div(), x, z),
    "pow": lambda b, x, z: b.add(elementwise.Pow(), x, z),
    "max": times(lambda b, x, z: b.add(elementwise.Max(), x, z)),
    "min": times(lambda b, x, z: b.add(elementwise.Min(), x, z)),
    "chosen": chosen,
    "product": product,
    "sum": times(lambda b, x, z: b.add(reduction.ReduceSum((1,), False), x)),
    "largest": times(lambda b, x, z: b.add(reduction.ReduceMax((0,)), x)),
    "mean": times(lambda b, x, z: b.add(reduction.ReduceMean((0, 1), False), x)),
    "softmax": times(lambda b, x, z: b.add(softmax.Softmax(1), x)),
    "gelu": times(lambda b, x, z: b.add(activation.Gelu(), x)),
    "relu": times(lambda b, x, z: b.add(activation.Relu(), x)),
    "reshape": times(lambda b, x, z: b.add(movement.Reshape((1, 3, 3)), x)),
    "expand": times(lambda b, x, z: b.add(movement.Expand((2, 3, 3)), x)),
    "cast": times(lambda b, x, z: b.add(convert.Cast(Kind.F64), x)),
}
for each in (functions.Exp, functions.Log, functions.Sqrt, functions.Sin, functions.Cos, functions.Tanh):
    FUNCTIONS[each.__name__] = unary(each())
for each in (functions.Sigmoid, functions.Erf, functions.Neg, functions.Abs):
    FUNCTIONS[each.__name__] = unary(each())


def derived(function: Function, x: Array, z: Array) -> tuple[Graph, Callable[[Array, Array], list[Array]]]:
    """A graph that gives the function and both derivatives, and how to run it."""
    graph = Graph("derived")
    b = Builder(graph)
    operands = [b.placeholder(name, TensorType.of(array)) for name, array in (("x", x), ("z", z))]
    y = function(b, operands[0], operands[1])
    graph.set_output("y", y)
    for name, value in zip("ab", gradients(b, y, operands, {v: v for v in operands}), strict=True):
        graph.set_output(name, value)
    verify(graph)
    return graph, lambda x, z: evaluate(graph, {"x": x, "z": z})


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(3, 3), (1, 3), ()], ids=str)
def test_small_steps(name: str, shape: tuple[int, ...]) -> None:
    x, z = RNG.random((3, 3)) + 0.2, np.asarray(RNG.random(shape) + 0.3)
    _, run = derived(FUNCTIONS[name], x, z)
    _, *found = run(x, z)
    for which, operand in enumerate((x, z)):
        expected = np.empty_like(operand)
        for place in np.ndindex(operand.shape):
            sides = []
            for step in (-1e-6, 1e-6):
                moved = [x.copy(), z.copy()]
                moved[which][place] += step
                sides.append(run(moved[0], moved[1])[0].sum())
            expected[place] = (sides[1] - sides[0]) / 2e-6
        np.testing.assert_allclose(found[which], expected, 1e-5, 1e-6)


def test_elsewhere() -> None:
    """The point may be another than the one where the function was computed; and one value may be fixed there."""
    graph = Graph("elsewhere")
    b = Builder(graph)
    x, z, elsewhere, fixed = (b.placeholder(name, TensorType.parse("f32[2]")) for name in ("x", "z", "p", "q"))
    y = b.add(elementwise.Mul(), b.add(elementwise.Mul(), x, x), z)
    (found,) = gradients(b, y, [x], {x: elsewhere, z: fixed})
    graph.set_output("g", found)
    feeds = {name: np.full(2, number, np.float32) for name, number in (("x", 1), ("z", 1), ("p", 5), ("q", 3))}
    np.testing.assert_array_equal(evaluate(graph, feeds), [[30, 30]])


def test_equal_elements_share() -> None:
    x = np.array([[1, 2, 2], [0, 0, 0], [1, 2, 3.0]])
    _, run = derived(lambda b, x, z: b.add(elementwise.Mul(), b.add(reduction.ReduceMax((1,)), x), z), x, np.array(1.0))
    np.testing.assert_allclose(run(x, np.array(1.0))[1], [[0, 0.5, 0.5], [1 / 3] * 3, [0, 0, 1]])


def test_what_has_no_rule_is_told() -> None:
    x = np.ones((3, 3))
    with pytest.raises(Unsupported, match="gradient of Floor"):
        derived(unary(functions.Floor()), x, x)
    with pytest.raises(Unsupported, match="does not depend"):
        derived(lambda b, x, z: b.constant(np.ones(3)), x, x)
