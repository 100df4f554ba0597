"""Dimensions compute as ints do, once their symbols are bound, and their normal form tells equal ones."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glowpy_ir.dims import Dim, Expr, bind, is_static, maximum, minimum, parse_dim, product, symbol, symbols

NAMES = ("n", "height", "past.length", "x_0")
OPERATIONS: tuple[tuple[Callable[[Dim, Dim], Dim], Callable[[int, int], int]], ...] = (
    (operator.add, operator.add),
    (operator.sub, operator.sub),
    (operator.mul, operator.mul),
    (operator.floordiv, operator.floordiv),
    (minimum, min),
    (maximum, max),
)
VALUES = st.fixed_dictionaries({name: st.integers(1, 9) for name in NAMES})


@st.composite
def expressions(draw: st.DrawFn, values: dict[str, int], depth: int = 4) -> tuple[Dim, int]:
    """A dimension, and what it is for these values of its symbols."""
    if depth == 0 or draw(st.booleans()):
        name = draw(st.sampled_from(NAMES))
        number = draw(st.integers(-4, 9))
        return draw(st.sampled_from(((symbol(name), values[name]), (number, number))))
    (x, a), (y, b) = draw(expressions(values, depth - 1)), draw(expressions(values, depth - 1))
    on_dims, on_ints = draw(st.sampled_from(OPERATIONS))
    assume(b != 0 or on_ints is not operator.floordiv)
    assume(y != 0 or on_ints is not operator.floordiv)
    return on_dims(x, y), on_ints(a, b)


@given(data=st.data(), values=VALUES)
def test_bound_expressions_are_what_ints_are(data: st.DataObject, values: dict[str, int]) -> None:
    dim, expected = data.draw(expressions(values))
    assert bind(dim, values) == expected
    assert symbols(dim) <= set(NAMES)
    assert is_static((dim,)) == isinstance(dim, int)


@given(data=st.data(), values=VALUES)
def test_text_round_trip(data: st.DataObject, values: dict[str, int]) -> None:
    dim, _ = data.draw(expressions(values))
    assert parse_dim(str(dim)) == dim


@given(data=st.data(), values=VALUES, bound=st.sets(st.sampled_from(NAMES)))
def test_binding_in_two_steps_is_binding_at_once(data: st.DataObject, values: dict[str, int], bound: set[str]) -> None:
    dim, expected = data.draw(expressions(values))
    half = bind(dim, {name: values[name] for name in bound})
    assert not symbols(half) & bound
    assert bind(half, values) == expected


@given(data=st.data(), values=VALUES)
def test_normal_form(data: st.DataObject, values: dict[str, int]) -> None:
    (x, _), (y, _), (z, _) = (data.draw(expressions(values, depth=2)) for _ in range(3))
    for left, right in (
        (x + y, y + x),
        (x * y, y * x),
        ((x + y) + z, x + (y + z)),
        ((x * y) * z, x * (y * z)),
        (x * (y + z), x * y + x * z),
        (x - y, -1 * y + x),
        (x - x, 0),
        (x + 0, x),
        (x * 1, x),
        (x * 0, 0),
    ):
        assert left == right
        assert hash(left) == hash(right)


@given(data=st.data(), values=VALUES)
def test_factors_cancel(data: st.DataObject, values: dict[str, int]) -> None:
    x, _ = data.draw(expressions(values, depth=2))
    n = symbol("n")
    assert (x * 6) // 6 == x
    assert (x * n * 2) // n == x * 2
    assert ((n + 1) * 32) // (n * 8 + 8) == 4
    assert ((n + 1) * (n * x + 3)) // (n + 1) == n * x + 3
    assert x == 0 or x // x == 1


def test_what_is_known_is_an_int() -> None:
    n = symbol("n")
    assert isinstance(n, Expr)
    assert isinstance(n - n + 3, int)
    assert product([n, 0, symbol("m")]) == 0
    assert product([]) == 1
    assert bind(7, {}) == 7
    assert bind(n * 2, {}) == n * 2
    assert str(minimum(n, 4) // 2) == "floordiv(min(n,4),2)"


@pytest.mark.parametrize(
    "text",
    ["", "+", "2+", "n n", "2 3", "n(", "min(n)", "min(n,m", "sqrt(n)", "n%2", "(n)", "*n", "min(n,)", "min(" * 9999],
)
def test_what_is_no_dimension_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"dimension|ends too early|is missing"):
        parse_dim(text)


@given(st.text(alphabet="nm0123456789+-*(),. minmaxfloordiv"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        dim = parse_dim(text)
    except ValueError:
        return
    assert parse_dim(str(dim)) == dim
