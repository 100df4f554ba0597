"""Dimensions of shapes: ints, or polynomials with integer coefficients in named symbols.

A polynomial is kept in a normal form, a sorted tuple of terms, so that equal dimensions are equal objects. What no
polynomial can say, a quotient rounded down for one, becomes a symbol that remembers how it is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Symbol:
    """An unknown extent: a name, or an operation (``floordiv``, ``min``, ``max``) on other dimensions."""

    name: str
    operands: tuple[Dim, ...] = ()

    def __str__(self) -> str:
        if not self.operands:
            return self.name
        return f"{self.name}({','.join(map(str, self.operands))})"


Monomial = tuple[Symbol, ...]
"""A product of symbols, sorted by their text; the empty product is one."""


@dataclass(frozen=True, slots=True)
class Expr:
    """A sum of monomials with int coefficients; never a plain int, see ``_normal``."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Dim) -> Dim:
        return _normal((*self.terms, *_terms(other)))

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    def __mul__(self, other: Dim) -> Dim:
        return _normal(
            (tuple(sorted(a + b, key=str)), m * n) for a, m in self.terms for b, n in _terms(other)
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        if isinstance(other, int) and other and all(n % other == 0 for _, n in self.terms):
            return _normal((monomial, n // other) for monomial, n in self.terms)
        quotient = _exact_quotient(self, other)
        return _apply("floordiv", self, other) if quotient is None else quotient

    def __rfloordiv__(self, other: int) -> Dim:
        return _apply("floordiv", other, self) if other else 0

    def __str__(self) -> str:
        return "+".join(_term_text(monomial, n) for monomial, n in self.terms).replace("+-", "-")


Dim = int | Expr


def _exact_quotient(dividend: Expr, divisor: Dim) -> Dim | None:
    """The quotient of two polynomials if nothing remains, by long division."""
    if isinstance(divisor, int):
        return None
    quotient: Dim = 0
    rest: Dim = dividend
    for _ in dividend.terms:
        if isinstance(rest, int):
            break
        part = _exact_term(rest.terms[0], divisor.terms[0])
        if part is None:
            return None
        quotient, rest = quotient + part, rest - part * divisor
    return quotient if rest == 0 else None


def _exact_term(dividend: tuple[Monomial, int], divisor: tuple[Monomial, int]) -> Dim | None:
    """The quotient of two terms, if there is one."""
    (monomial, n), (factor, m) = dividend, divisor
    rest = list(monomial)
    if n % m or any(rest.count(s) < factor.count(s) for s in factor):
        return None
    for s in factor:
        rest.remove(s)
    return _normal([(tuple(rest), n // m)])


def symbol(name: str) -> Dim:
    """The dimension that is called ``name``."""
    return _normal([((Symbol(name),), 1)])


def _apply(operation: str, *operands: Dim) -> Dim:
    return _normal([((Symbol(operation, operands),), 1)])


OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "floordiv": lambda a, b: a // b,
    "min": min,
    "max": max,
}


def minimum(a: Dim, b: Dim) -> Dim:
    """The smaller of two dimensions."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else _apply("min", a, b)


def maximum(a: Dim, b: Dim) -> Dim:
    """The larger of two dimensions."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else _apply("max", a, b)


def product(dims: Iterable[Dim]) -> Dim:
    """All dimensions multiplied."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def bind(dim: Dim, values: Mapping[str, int]) -> Dim:
    """``dim`` with these symbols known."""
    if isinstance(dim, int):
        return dim
    result: Dim = 0
    for monomial, n in dim.terms:
        result = result + product((n, *(_bind_symbol(s, values) for s in monomial)))
    return result


def _bind_symbol(s: Symbol, values: Mapping[str, int]) -> Dim:
    if not s.operands:
        return values.get(s.name, symbol(s.name))
    a, b = (bind(operand, values) for operand in s.operands)
    if isinstance(a, int) and isinstance(b, int):
        return OPERATIONS[s.name](a, b)
    return _apply(s.name, a, b)


def symbols(dim: Dim) -> set[str]:
    """The names that ``dim`` depends on."""
    if isinstance(dim, int):
        return set()
    found: set[str] = set()
    for monomial, _ in dim.terms:
        for s in monomial:
            found |= {s.name} if not s.operands else set().union(*map(symbols, s.operands))
    return found


def _terms(dim: Dim) -> Iterable[tuple[Monomial, int]]:
    return [((), dim)] if isinstance(dim, int) else dim.terms


def _normal(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    sums: dict[Monomial, int] = {}
    for monomial, n in terms:
        sums[monomial] = sums.get(monomial, 0) + n
    kept = sorted(((m, n) for m, n in sums.items() if n), key=lambda t: (-len(t[0]), str(t[0])))
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Expr(tuple(kept))


def _term_text(monomial: Monomial, n: int) -> str:
    if not monomial:
        return str(n)
    text = "*".join(map(str, monomial))
    return text if n == 1 else f"-{text}" if n == -1 else f"{n}*{text}"


_NAME = re.compile(r"[A-Za-z_][\w.:/]*")
_TOKEN = re.compile(rf"\s*(?:(\d+)|({_NAME.pattern})|([-+*(),]))")


def parse_dim(text: str) -> Dim:
    """The dimension that ``str`` printed; ValueError if ``text`` is none."""
    tokens = [m.group(m.lastindex or 0) for m in _TOKEN.finditer(text)]
    if "".join(tokens) != re.sub(r"\s", "", text) or not tokens:
        raise ValueError(f"not a dimension: {text!r}")
    try:
        dim, rest = _parse_sum(tokens)
    except RecursionError:
        raise ValueError("a dimension is nested too deeply") from None
    if rest:
        raise ValueError(f"not a dimension: {text!r}")
    return dim


def _parse_sum(tokens: list[str]) -> tuple[Dim, list[str]]:
    sign = -1 if tokens[:1] == ["-"] else 1
    dim, tokens = _parse_product(tokens[1:] if sign < 0 else tokens)
    dim = dim * sign
    while tokens and tokens[0] in "+-":
        sign = 1 if tokens[0] == "+" else -1
        term, tokens = _parse_product(tokens[1:])
        dim = dim + term * sign
    return dim, tokens


def _parse_product(tokens: list[str]) -> tuple[Dim, list[str]]:
    dim, tokens = _parse_atom(tokens)
    while tokens and tokens[0] == "*":
        factor, tokens = _parse_atom(tokens[1:])
        dim = dim * factor
    return dim, tokens


def _parse_atom(tokens: list[str]) -> tuple[Dim, list[str]]:
    if not tokens:
        raise ValueError("a dimension ends too early")
    head, *rest = tokens
    if head.isdigit():
        return int(head), rest
    if not _NAME.fullmatch(head):
        raise ValueError(f"{head!r} is no dimension")
    if rest[:1] != ["("]:
        return symbol(head), rest
    if head not in OPERATIONS:
        raise ValueError(f"no operation {head!r} on dimensions")
    first, rest = _parse_sum(rest[1:])
    if rest[:1] != [","]:
        raise ValueError(f"{head} takes two dimensions")
    second, rest = _parse_sum(rest[1:])
    if rest[:1] != [")"]:
        raise ValueError(f"{head}: ')' is missing")
    return _apply(head, first, second), rest[1:]


def is_static(dims: Iterable[Dim]) -> bool:
    """Whether all dimensions are known."""
    for dim in dims:  # noqa: SIM110 (asked so often that a generator would take its time)
        if not isinstance(dim, int):
            return False
    return True

