"""com.microsoft's recurrent networks with quantized weights."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.recurrent import cells_of, is_ragged, make_lstm, rest_of
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.functions import Sigmoid, Tanh
from glowpy_ir.ops.recurrent_layers import Direction, DynamicQuantizeLayer

DOMAIN = "com.microsoft"


def load_dynamic_quantize_lstm(c: NodeContext) -> tuple[Value, ...]:
    """com.microsoft DynamicQuantizeLSTM: as ONNX LSTM, but for the weights, which are transposed."""
    cells = cells_of(c, (Sigmoid, Tanh, Tanh), make_lstm)
    direction = c.attributes.choice("direction", Direction, Direction.FORWARD)
    op = DynamicQuantizeLayer(cells, direction, ragged=is_ragged(c))
    if c.type(2).rank != 3:
        raise BadModel(f"weights must have three dimensions, but are {c.type(2)}")
    weights = [c.input(index) for index in (1, 8, 9, 2, 10, 11)]
    return c.b.add_all(op, c.input(0), *weights, *rest_of(c, op, c.type(2).shape[1]))


LOADERS: Table = {("DynamicQuantizeLSTM", 1): load_dynamic_quantize_lstm}
