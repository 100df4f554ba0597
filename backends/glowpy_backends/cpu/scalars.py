"""What each element-wise operator does to vectors: one row an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glowpy_backends.cpu import arithmetic, exponentials, trigonometry
from glowpy_backends.cpu.builder import Builder, Ssa
from glowpy_backends.cpu.conversion import convert
from glowpy_ir.op import Op
from glowpy_ir.ops import elementwise, functions, logic
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.remainder import Remainder
from glowpy_ir.types import Kind

Scalar = Callable[[Builder, Any, Sequence[Kind], Sequence[Ssa]], Ssa]
"""Takes the operator, the kinds of its operands and the operands; gives the result. Bools are masks."""


def instruction(floating: str, integer: str) -> Scalar:
    """One LLVM instruction for floats, another for integers."""
    return lambda b, op, kinds, values: b.op(floating if kinds[0].is_float else integer, values[0], values[1])


def same_for_all(emit: Callable[..., Ssa]) -> Scalar:
    """A function that does the same whether integers have a sign or not."""
    return lambda b, op, kinds, values: emit(b, *values)


def by_sign(emit: Callable[..., Ssa]) -> Scalar:
    """A function that must know whether integers have a sign."""
    return lambda b, op, kinds, values: emit(b, *values, signed=kinds[-1].is_signed)


def power(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """``lhs ** rhs``"""
    base, exponent = values
    if kinds[0].is_float:
        return exponentials.power(b, base, exponent)
    return arithmetic.power_of_integer(b, base, exponent, kinds[0].is_signed)


def cast(b: Builder, op: Cast, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
    """The same number as another kind."""
    return convert(b, values[0], kinds[0], op.to, op.saturate)


SCALARS: Mapping[type[Op], Scalar] = {
    Cast: cast,
    Remainder: by_sign(arithmetic.remainder),
    elementwise.Add: instruction("fadd", "add"),
    elementwise.Div: by_sign(arithmetic.divide),
    elementwise.Max: by_sign(arithmetic.maximum),
    elementwise.Min: by_sign(arithmetic.minimum),
    elementwise.Mul: instruction("fmul", "mul"),
    elementwise.Pow: power,
    elementwise.Sub: instruction("fsub", "sub"),
    functions.Abs: by_sign(arithmetic.absolute),
    functions.Acos: same_for_all(trigonometry.acos),
    functions.Acosh: same_for_all(exponentials.acosh),
    functions.Asin: same_for_all(trigonometry.asin),
    functions.Asinh: same_for_all(exponentials.asinh),
    functions.Atan: same_for_all(trigonometry.atan),
    functions.Atanh: same_for_all(exponentials.atanh),
    functions.Ceil: same_for_all(arithmetic.ceil),
    functions.Cos: same_for_all(trigonometry.cos),
    functions.Cosh: same_for_all(exponentials.cosh),
    functions.Erf: same_for_all(exponentials.erf),
    functions.Exp: same_for_all(exponentials.exp),
    functions.Floor: same_for_all(arithmetic.floor),
    functions.Log: same_for_all(exponentials.log),
    functions.Neg: lambda b, op, kinds, values: b.neg(values[0]),
    functions.Round: same_for_all(arithmetic.round_even),
    functions.Sigmoid: same_for_all(exponentials.sigmoid),
    functions.Sign: by_sign(arithmetic.sign),
    functions.Sin: same_for_all(trigonometry.sin),
    functions.Sinh: same_for_all(exponentials.sinh),
    functions.Sqrt: same_for_all(arithmetic.square_root),
    functions.Tan: same_for_all(trigonometry.tan),
    functions.Tanh: same_for_all(exponentials.tanh),
    logic.And: instruction("", "and"),
    logic.Equal: same_for_all(arithmetic.equal),
    logic.Less: by_sign(arithmetic.less),
    logic.LessOrEqual: by_sign(arithmetic.less_or_equal),
    logic.Not: same_for_all(arithmetic.invert),
    logic.Or: instruction("", "or"),
    logic.Select: lambda b, op, kinds, values: b.select(*values),
    logic.ShiftLeft: same_for_all(arithmetic.shift_left),
    logic.ShiftRight: by_sign(arithmetic.shift_right),
    logic.Xor: instruction("", "xor"),
}
