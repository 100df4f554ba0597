"""Arithmetic: the same numbers, computed with less work.

Floats keep their infinities and NaNs. What may change is the last bit, where constants are combined, and the sign of
a zero.
"""

from __future__ import annotations

import math

from glowpy.passes.known import combine, is_known, is_used_once, number_in
from glowpy.passes.ranges import range_of
from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import Relu
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Binary, Div, Max, Min, Mul, Pow, Splat, Sub
from glowpy_ir.ops.functions import Abs, Ceil, Floor, Neg, Round, Sign, Sqrt
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import And, Less, Not, Or, Select, Xor
from glowpy_ir.rewrite import Replacement, Rule
from glowpy_ir.types import Kind

NEUTRAL: dict[Op, float] = {Add(): 0, Sub(): 0, Mul(): 1, Div(): 1, Pow(): 1, Or(): 0, Xor(): 0}
"""The right operand that changes nothing."""

ASSOCIATIVE: tuple[Op, ...] = (Add(), Mul(), Max(), Min(), And(), Or(), Xor())

IDEMPOTENT: tuple[Op, ...] = (Max(), Min(), And(), Or())

SETTLED: tuple[Op, ...] = (Relu(), Abs(), Sign(), Floor(), Ceil(), Round())
"""What changes nothing where it was applied before."""


def put_constants_right(node: Node, b: Builder) -> Replacement:
    """c ∘ x = x ∘ c, of commutative operators, so that other rules look in one place"""
    match node:
        case Node(op=Binary(commutative=True), inputs=(c, x)) if is_known(c) and not is_known(x):
            return b.add(node.op, x, c)
        case _:
            return None


def drop_neutral(node: Node, b: Builder) -> Replacement:
    """x + 0 = x, x * 1 = x, x / 1 = x, x ** 1 = x, where the constant does not widen x"""
    match node:
        case Node(op=op, inputs=(x, c)) if op in NEUTRAL and x.type == node.output.type:
            return x if number_in(c) == NEUTRAL[op] else None
        case _:
            return None


def drop_second(node: Node, b: Builder) -> Replacement:
    """f(f(x)) = f(x), of what settles at once"""
    match node:
        case Node(op=op, inputs=(Value(producer=Node(op=inner)) as x,)) if op == inner and op in SETTLED:
            return x
        case _:
            return None


def multiply_by_zero(node: Node, b: Builder) -> Replacement:
    """x * 0 = 0, of integers: floats may be NaN or infinite"""
    match node:
        case Node(op=Mul(), inputs=(_, c)) if node.output.type.kind.is_integer and number_in(c) == 0:
            return b.add(Splat(0, node.output.type.kind, node.output.type.shape))
        case _:
            return None


def sum_nothing(node: Node, b: Builder) -> Replacement:
    """x @ y = 0, if there is nothing to multiply"""
    match node:
        case Node(op=MatMul(), inputs=inputs) if any(0 in value.type.shape for value in inputs):
            return b.add(Splat(0, node.output.type.kind, node.output.type.shape))
        case _:
            return None


def decide(node: Node, b: Builder) -> Replacement:
    """x & true = x, x & false = false, x | true = true, of booleans, where the constant does not widen x"""
    match node:
        case Node(op=And() | Or() as op, inputs=(x, c)) if x.type == node.output.type and x.type.kind is Kind.BOOL:
            truth = number_in(c)
            if truth is None:
                return None
            return x if bool(truth) == (op == And()) else b.add(Splat(int(truth), Kind.BOOL, x.type.shape))
        case _:
            return None


def merge_equal_operands(node: Node, b: Builder) -> Replacement:
    """max(x, x) = x, min(x, x) = x, x & x = x, x | x = x"""
    match node:
        case Node(op=op, inputs=(x, y)) if x is y and op in IDEMPOTENT:
            return x
        case _:
            return None


def cancel_equal_operands(node: Node, b: Builder) -> Replacement:
    """x - x = 0, x ^ x = 0, of integers"""
    match node:
        case Node(op=Sub() | Xor(), inputs=(x, y)) if x is y and not x.type.kind.is_float:
            return b.add(Splat(0, x.type.kind, x.type.shape))
        case _:
            return None


def choose_equal(node: Node, b: Builder) -> Replacement:
    """select(c, x, x) = x, select(true, x, y) = x, select(false, x, y) = y, where nothing is widened"""
    match node:
        case Node(op=Select(), inputs=(c, x, y)):
            truth = number_in(c)
            chosen = x if x is y or truth else y if truth is not None else None
            return chosen if chosen is not None and chosen.type == node.output.type else None
        case _:
            return None


def choose_the_other(node: Node, b: Builder) -> Replacement:
    """select(~c, x, y) = select(c, y, x)"""
    match node:
        case Node(op=Select() as select, inputs=(Value(producer=Node(op=Not(), inputs=(c,))), x, y)):
            return b.add(select, c, y, x)
        case _:
            return None


def choose_larger(node: Node, b: Builder) -> Replacement:
    """select(x < 0, c * x, x) = max(x, c * x) for 0 < c <= 1"""
    match node:
        case Node(
            op=Select(),
            inputs=(
                Value(producer=Node(op=Less(), inputs=(x, zero))),
                Value(producer=Node(op=Mul(), inputs=(y, c))) as scaled,
                z,
            ),
        ) if x is y is z and number_in(zero) == 0 and 0 < (number_in(c) or 0) <= 1:
            return b.add(Max(), x, scaled)
        case _:
            return None


def subtract_constant(node: Node, b: Builder) -> Replacement:
    """x - c = x + -c"""
    match node:
        case Node(op=Sub(), inputs=(x, c)) if not is_known(x) and x.type.kind in Neg.kinds:
            negated = combine(b, Neg(), c)
            return b.add(Add(), x, negated) if negated else None
        case _:
            return None


def double_negation(node: Node, b: Builder) -> Replacement:
    """-(-x) = x, ~(~x) = x"""
    match node:
        case Node(op=Neg() | Not() as op, inputs=(Value(producer=Node(op=inner, inputs=(x,))),)) if inner == op:
            return x
        case _:
            return None


def negation_in_sum(node: Node, b: Builder) -> Replacement:
    """x + -y = x - y, -x + y = y - x, x - -y = x + y, -(x - y) = y - x"""
    match node:
        case Node(op=Add(), inputs=(x, Value(producer=Node(op=Neg(), inputs=(y,))))):
            return b.add(Sub(), x, y)
        case Node(op=Add(), inputs=(Value(producer=Node(op=Neg(), inputs=(x,))), y)):
            return b.add(Sub(), y, x)
        case Node(op=Sub(), inputs=(x, Value(producer=Node(op=Neg(), inputs=(y,))))):
            return b.add(Add(), x, y)
        case Node(op=Neg(), inputs=(Value(producer=Node(op=Sub(), inputs=(x, y))) as difference,)):
            return b.add(Sub(), y, x) if is_used_once(b.graph, difference) else None
        case _:
            return None


def negation_in_product(node: Node, b: Builder) -> Replacement:
    """-x * c = x * -c, -(x * c) = x * -c"""
    match node:
        case Node(op=Mul(), inputs=(Value(producer=Node(op=Neg(), inputs=(x,))), c)):
            pass
        case Node(op=Neg(), inputs=(Value(producer=Node(op=Mul(), inputs=(x, c))) as product,)):
            if not is_used_once(b.graph, product):
                return None
        case _:
            return None
    negated = combine(b, Neg(), c)
    return b.add(Mul(), x, negated) if negated else None


def combine_constants(node: Node, b: Builder) -> Replacement:
    """(x ∘ c) ∘ d = x ∘ (c ∘ d), of associative operators; of floats up to rounding"""
    match node:
        case Node(op=op, inputs=(Value(producer=Node(op=inner, inputs=(x, c))) as middle, d)) if (
            op == inner and op in ASSOCIATIVE and not is_known(x) and is_used_once(b.graph, middle)
        ):
            constant = combine(b, op, c, d)
            return b.add(op, x, constant) if constant else None
        case _:
            return None


def combine_factors(node: Node, b: Builder) -> Replacement:
    """x * c / d = x * (c / d), x / c * d = x * (d / c), x / c / d = x / (c * d), of floats"""
    if node.op not in (Mul(), Div()) or not node.output.type.kind.is_float:
        return None
    match node.inputs:
        case (Value(producer=Node(op=Mul() | Div() as inner, inputs=(x, c))) as middle, d):
            if is_known(x) or not is_used_once(b.graph, middle) or not (is_known(c) and is_known(d)):
                return None
        case _:
            return None
    match inner, node.op:
        case Mul(), Div():
            factor = combine(b, Div(), c, d)
        case Div(), Mul():
            factor = combine(b, Div(), d, c)
        case Div(), Div():
            factor = combine(b, Mul(), c, d)
            return b.add(Div(), x, factor) if factor else None
        case _:
            return None
    return b.add(Mul(), x, factor) if factor else None


def divide_by_power_of_two(node: Node, b: Builder) -> Replacement:
    """x / 2**k = x * 2**-k, of floats"""
    match node:
        case Node(op=Div(), inputs=(x, c)) if node.output.type.kind.is_float and not is_known(x):
            number = number_in(c)
            if not number or not math.isfinite(number) or abs(math.frexp(number)[0]) != 0.5:
                return None
            if not 2**-14 <= abs(number) <= 2**14:  # what half precision inverts without a subnormal number
                return None
            return b.add(Mul(), x, b.add(Splat(1 / number, c.type.kind, c.type.shape)))
        case _:
            return None


def simple_power(node: Node, b: Builder) -> Replacement:
    """x ** 2 = x * x, x ** 3 = x * x * x, x ** 0.5 = sqrt(x), x ** -1 = 1 / x, where the constant does not widen x

    The root of minus infinity is NaN, where the power would be infinite.
    """
    match node:
        case Node(op=Pow(), inputs=(x, c)) if x.type == node.output.type:
            is_float = x.type.kind.is_float
            match number_in(c):
                case 2:
                    return b.add(Mul(), x, x)
                case 3:
                    return b.add(Mul(), b.add(Mul(), x, x), x)
                case 0.5 if is_float:
                    return b.add(Sqrt(), x)
                case -1 if is_float:
                    return b.add(Div(), b.add(Splat(1, x.type.kind)), x)
    return None


def limit_without_effect(node: Node, b: Builder) -> Replacement:
    """max(x, c) = x where x >= c anyhow, min(x, c) = x where x <= c, |x| = x where x >= 0"""
    match node:
        case Node(op=Max(), inputs=(x, c)) if x.type == node.output.type:
            return x if range_of(x)[0] >= range_of(c)[1] and number_in(c) is not None else None
        case Node(op=Min(), inputs=(x, c)) if x.type == node.output.type:
            return x if range_of(x)[1] <= range_of(c)[0] and number_in(c) is not None else None
        case Node(op=Abs(), inputs=(x,)):
            return x if range_of(x)[0] >= 0 else None
        case _:
            return None


def cast_to_own_kind(node: Node, b: Builder) -> Replacement:
    """cast(x) = x, to its own kind"""
    match node:
        case Node(op=Cast(), inputs=(x,)) if x.type == node.output.type:
            return x
        case _:
            return None


def cast_twice(node: Node, b: Builder) -> Replacement:
    """cast(cast(x)) = cast(x), where the first loses nothing"""
    match node:
        case Node(op=Cast(to=to) as outer, inputs=(Value(producer=Node(op=Cast(to=via), inputs=(x,))),)):
            kind = x.type.kind
            if _holds_all(via, kind) and (to is kind or kind is Kind.BOOL or via.is_float == kind.is_float):
                return b.add(outer, x)
    return None


def _holds_all(wide: Kind, narrow: Kind) -> bool:
    """Whether every number of kind ``narrow`` is one of kind ``wide``, for the kinds where that is plain."""
    if narrow is Kind.BOOL:
        return wide.is_float or wide.is_integer
    if wide is narrow:
        return True
    if narrow.is_float:
        return wide in (Kind.F32, Kind.F64) and wide.nbytes > narrow.nbytes
    if wide.is_integer and narrow.is_integer:
        return wide.nbytes > narrow.nbytes and (wide.is_signed or not narrow.is_signed)
    return narrow.is_integer and {Kind.F32: 2, Kind.F64: 4}.get(wide, 0) >= narrow.nbytes


RULES: tuple[Rule, ...] = (
    put_constants_right,
    drop_neutral,
    drop_second,
    multiply_by_zero,
    sum_nothing,
    decide,
    merge_equal_operands,
    cancel_equal_operands,
    choose_equal,
    choose_the_other,
    choose_larger,
    subtract_constant,
    double_negation,
    negation_in_sum,
    negation_in_product,
    combine_constants,
    combine_factors,
    divide_by_power_of_two,
    simple_power,
    limit_without_effect,
    cast_to_own_kind,
    cast_twice,
)
