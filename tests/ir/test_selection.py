"""Operators that choose elements: open dimensions, strings, faults, and that primitives are all that is left."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.selection import NonMaxSuppression, NonZero, SuppressOverlaps, Unique
from glowpy_ir.ops.sorting import RowOrder
from glowpy_ir.types import TensorType


def types(*texts: str) -> tuple[TensorType, ...]:
    return tuple(TensorType.parse(text) for text in texts)


OPEN: list[tuple[Op, tuple[str, ...], tuple[str, ...]]] = [
    (NonZero(), ("f32[a,n,3]",), ("i64[3,3*a*n]", "i64[]")),
    (RowOrder(), ("f32[n,m]",), ("i64[n]",)),
    (Unique(), ("f32[n,m]",), ("i64[n]", "i64[n]", "i64[n]", "i64[]")),
    (Unique(False), ("i8[n,1]",), ("i64[n]", "i64[n]", "i64[n]", "i64[]")),
    (SuppressOverlaps(5), ("f32[b,9,4]", "f32[b,c,9]", "f32[]"), ("i64[b,c,5]",)),
    (NonMaxSuppression(9, True), ("f32[b,3,4]", "f32[b,c,3]", "f32[]", "f32[]"), ("i64[3*b*c,3]", "i64[]")),
]


@pytest.mark.parametrize(("op", "operands", "results"), OPEN, ids=lambda item: getattr(item, "name", ""))
def test_open_dimensions_go_through(op: Op, operands: tuple[str, ...], results: tuple[str, ...]) -> None:
    assert tuple(map(str, infer(op, *types(*operands)))) == results


@pytest.mark.parametrize("in_order", [True, False])
def test_unique_strings(in_order: bool) -> None:
    x = np.array(["b", "a", "c", "a"], object).reshape(4, 1)
    first, which, often, count = apply(Unique(in_order), x)
    places, back, counts = ([1, 0, 2], [1, 0, 2, 0], [2, 1, 1]) if in_order else ([0, 1, 2], [0, 1, 2, 1], [1, 2, 1])
    assert (first[:3].tolist(), which.tolist(), often[:3].tolist(), int(count)) == (places, back, counts, 3)


FAULTS: list[tuple[Op, tuple[str, ...], str]] = [
    (NonZero(), ("string[3]",), "takes elements"),
    (RowOrder(), ("f32[3]",), "matrix"),
    (Unique(), ("f32[3]",), "2 dimensions"),
    (SuppressOverlaps(5), ("f32[1,9,5]", "f32[1,2,9]", "f32[]"), "takes"),
    (SuppressOverlaps(5), ("f32[1,9,4]", "f32[1,2,8]", "f32[]"), "takes"),
    (SuppressOverlaps(-1), ("f32[1,9,4]", "f32[1,2,9]", "f32[]"), "takes"),
    (SuppressOverlaps(5), ("f32[1,9,4]", "f32[1,2,9]", "f32[1]"), "scalars"),
    (SuppressOverlaps(5), ("f64[1,9,4]", "f64[1,2,9]", "f64[]"), "f32"),
]


@pytest.mark.parametrize(("op", "operands", "message"), FAULTS)
def test_fault_is_told(op: Op, operands: tuple[str, ...], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *types(*operands))
