"""What each element-wise operator does to vectors: one row an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glowpy_backends.cpu.builder import Builder, Ssa
from glowpy_ir.op import Op
from glowpy_ir.ops import functions
from glowpy_ir.ops.elementwise import Add, Div, Max, Min, Mul, Sub
from glowpy_ir.types import Kind

Scalar = Callable[[Builder, Any, Sequence[Kind], Sequence[Ssa]], Ssa]
"""Takes the operator, the kinds of its operands and the operands; gives the result."""


def arithmetic(floating: str, integer: str) -> Scalar:
    """One instruction for floats, another for integers."""

    def emit(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
        lhs, rhs = values
        return b.op(floating if kinds[0].is_float else integer, lhs, rhs)

    return emit


def extremum(predicate: str) -> Scalar:
    def emit(b: Builder, op: Op, kinds: Sequence[Kind], values: Sequence[Ssa]) -> Ssa:
        lhs, rhs = values
        return b.select(b.compare(predicate, lhs, rhs), lhs, rhs)

    return emit


SCALARS: Mapping[type[Op], Scalar] = {
    Add: arithmetic("fadd", "add"),
    Sub: arithmetic("fsub", "sub"),
    Mul: arithmetic("fmul", "mul"),
    Div: arithmetic("fdiv", "sdiv"),
    Max: extremum("ogt"),
    Min: extremum("olt"),
}


def _temporary(name: str) -> Scalar:
    return lambda b, op, kinds, values: b.intrinsic(name, *values)


SCALARS = {**SCALARS, functions.Exp: _temporary("exp"), functions.Log: _temporary("log"), functions.Sqrt: _temporary("sqrt"), functions.Tanh: _temporary("tanh")}
