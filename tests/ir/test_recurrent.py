"""Recurrences say what is wrong with their operands, and their attributes print and parse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.infer import infer
from glowpy_ir.literals import CORE, read_operator
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import HardSigmoid, LeakyRelu
from glowpy_ir.ops.recurrent import Affine, Cell, GruCell, LstmCell, Recurrence, RnnCell, ScaledTanh
from glowpy_ir.ops.recurrent_layers import Direction, DynamicQuantizeLayer, RecurrentLayer
from glowpy_ir.types import Kind, TensorType

CELLS: list[Cell] = [
    RnnCell(0.5, LeakyRelu(0.25)),
    GruCell(None, HardSigmoid(), ScaledTanh(1.5)),
    GruCell(reset_after=True),
    LstmCell(None, Affine(), coupled=True),
    LstmCell(has_peepholes=True),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_attributes_print_and_parse(cell: Cell) -> None:
    ops: list[Op] = [Recurrence(cell, True), RecurrentLayer((cell, cell), Direction.BIDIRECTIONAL, ragged=True)]
    for op in ops:
        assert read_operator(op.name + op.attribute_text(), CORE) == op


def types(*texts: str) -> list[TensorType]:
    return [TensorType.parse(text) for text in texts]


def test_extents_may_be_open() -> None:
    steps, batch = symbol("T"), symbol("N")
    layer = RecurrentLayer((LstmCell(), LstmCell()), Direction.BIDIRECTIONAL)
    input, state = (TensorType(Kind.F32, shape) for shape in ((steps, batch, 3), (2, batch, 5)))
    found = infer(layer, input, *types("f32[2,20,3]", "f32[2,20,5]", "f32[2,40]"), state, state)
    assert found == (TensorType(Kind.F32, (steps, 2, batch, 5)), state, state)
    turned = infer(
        replace(layer, batch_first=True), TensorType(Kind.F32, (batch, steps, 3)),
        *types("f32[2,20,3]", "f32[2,20,5]", "f32[2,40]"), *(TensorType(Kind.F32, (batch, 2, 5)),) * 2,
    )  # fmt: skip
    assert turned[0].shape == (batch, steps, 2, 5)


def test_half_precision_comes_out_as_it_goes_in() -> None:
    operands = types("f16[4,2,3]", "f16[1,15,3]", "f16[1,15,5]", "f16[1,30]", "f16[1,2,5]")
    assert infer(RecurrentLayer((GruCell(),)), *operands) == tuple(types("f16[4,1,2,5]", "f16[1,2,5]"))


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (Recurrence(RnnCell()), ("f32[4,2,5]", "f32[5,5]"), "does not take 0 operands besides"),
        (Recurrence(RnnCell()), ("f32[4,2,5]", "f32[5,5]", "f32[3,5]"), r"needs f32\[2,5\]"),
        (Recurrence(RnnCell()), ("f32[4,2,5]", "f32[5,6]", "f32[2,5]"), "needs f32"),
        (Recurrence(RnnCell()), ("f16[4,2,5]", "f16[5,5]", "f16[2,5]"), "takes elements of"),
        (Recurrence(RnnCell()), ("f32[4,2,5]", "f32[5]", "f32[2,5]"), "sequences and a matrix"),
        (Recurrence(RnnCell()), ("f64[4,2,5]", "i16[5,5]", "f32[5]", "f64[2,5]"), "takes elements of"),
        (Recurrence(RnnCell(), ragged=True), ("f32[4,2,5]", "f32[5,5]", "f32[2,5]", "i64[2]"), r"needs i32\[2\]"),
        (
            RecurrentLayer((RnnCell(),), Direction.BIDIRECTIONAL),
            ("f32[4,2,3]", "f32[2,5,3]", "f32[2,5,5]", "f32[2,10]", "f32[2,2,5]"),
            "has 2 cells of one type",
        ),
        (
            DynamicQuantizeLayer((LstmCell(),)),
            ("f32[4,2,3]", "i8[1,3,8]", "f32[1]", "i8[1]", "i8[1,2,9]", "f32[1]", "i8[1]", "f32[1,16]", "f32[1,2,2]",
             "f32[1,2,2]"),
            "begins with 1 and 2 and 8",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_operands_that_do_not_fit(op: Op, operands: tuple[str, ...], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *types(*operands))
