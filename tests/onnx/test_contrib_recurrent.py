"""Recurrent networks with quantized weights compute what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper
from onnx_cases import compare, node_model, run_model

from glowpy_ir.errors import Findings
from glowpy_ir.types import Array


def model(inputs: Mapping[str, Array | None], **attributes: Any) -> ModelProto:
    """A model of one DynamicQuantizeLSTM."""
    made = node_model("DynamicQuantizeLSTM", inputs, 17, 3, **attributes)
    made.ir_version = 8
    made.graph.node[0].domain = "com.microsoft"
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def agree(inputs: Mapping[str, Array | None], **attributes: Any) -> None:
    """Compare the imported node with ONNX Runtime."""
    made = model(inputs, **attributes)
    feeds = {name: array for name, array in inputs.items() if array is not None and not name.startswith("_")}
    run = run_model(made, feeds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for index, array in enumerate(session.run(None, feeds)):
        compare(run[f"y{index}"], array, 1e-4, 1e-5)


def operands(
    steps: int, batch: int, width: int, hidden: int, directions: int, dtype: type[np.int8 | np.uint8], by_column: bool
) -> dict[str, Array | None]:
    rng = np.random.default_rng(steps + hidden)
    info = np.iinfo(dtype)
    columns = 4 * hidden
    scales = (directions, columns) if by_column else (directions,)

    def weights(rows: int) -> Array:
        return rng.integers(info.min, info.max, (directions, rows, columns), dtype, endpoint=True)

    def floats(*shape: int) -> Array:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    def scale() -> Array:
        return rng.uniform(0.002, 0.004, scales).astype(np.float32)

    zero = np.full(scales, 0 if info.min else 120, dtype)
    return {
        "x": floats(steps, batch, width),
        "_w": weights(width),
        "_r": weights(hidden),
        "_b": floats(directions, 2 * columns),
        "l": None,
        "h": floats(directions, batch, hidden),
        "c": floats(directions, batch, hidden),
        "p": None,
        "_ws": scale(),
        "_wz": zero,
        "_rs": scale(),
        "_rz": zero,
    }


@pytest.mark.parametrize("by_column", [False, True], ids=["whole", "columns"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(
    ("size", "direction"),
    [
        ((1, 1, 3, 5), "forward"),
        ((5, 1, 4, 17), "reverse"),
        ((4, 3, 6, 16), "bidirectional"),
        ((6, 2, 5, 33), "forward"),
    ],
)
def test_weights_of_eight_bits(
    size: tuple[int, int, int, int], direction: str, dtype: type[np.int8 | np.uint8], by_column: bool
) -> None:
    inputs = operands(*size, 1 + (direction == "bidirectional"), dtype, by_column)
    agree(inputs, direction=direction, hidden_size=size[3])


def test_peepholes_and_a_clip() -> None:
    inputs = {**operands(3, 1, 4, 7, 1, np.int8, False), "p": np.linspace(-1, 1, 21, dtype=np.float32)[None]}
    agree(inputs, hidden_size=7, clip=0.75, input_forget=1)


def test_weights_that_do_not_fit_are_refused() -> None:
    inputs = {**operands(3, 1, 4, 7, 1, np.int8, False), "_w": np.zeros((1, 5, 28), np.int8)}
    with pytest.raises(Findings, match="begins with 1 and 4 and 28"):
        agree(inputs, hidden_size=7)
