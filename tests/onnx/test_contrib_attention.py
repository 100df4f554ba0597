"""com.microsoft's attention computes what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper
from onnx_cases import compare, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(3)

MASKS: dict[str, Array | None] = {
    "none": None,
    "lengths": np.array([4, 2], np.int32),
    "marks": np.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]], np.int32),
}


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def model(operator: str, inputs: Mapping[str, Array | None], results: int, **attributes: Any) -> ModelProto:
    made = node_model(operator, inputs, 17, results, **attributes)
    made.ir_version = 8
    made.graph.node[0].domain = "com.microsoft"
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def agree(operator: str, inputs: Mapping[str, Array | None], results: int = 1, **attributes: Any) -> None:
    """Compare the imported node with ONNX Runtime."""
    made = model(operator, inputs, results, **attributes)
    feeds = {name: array for name, array in inputs.items() if array is not None and not name.startswith("_")}
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    run = run_model(made, feeds)
    for number, expected in enumerate(session.run(None, feeds)):
        compare(run[f"y{number}"], expected, 1e-4, 1e-5)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("attributes", [{}, {"scale": 0.3}, {"qkv_hidden_sizes": [8, 8, 12]}], ids=str)
def test_attention(mask: str, unidirectional: int, attributes: dict[str, Any]) -> None:
    width = sum(attributes.get("qkv_hidden_sizes", [8, 8, 8]))
    inputs = {"x": floats(2, 5, 6), "_w": floats(6, width), "_b": floats(width), "mask": MASKS[mask]}
    agree("Attention", inputs, num_heads=2, unidirectional=unidirectional, **attributes)


def test_attention_with_a_past() -> None:
    inputs = {"x": floats(2, 3, 6), "_w": floats(6, 24), "_b": floats(24), "_m": None, "past": floats(2, 2, 2, 4, 4)}
    agree("Attention", inputs, 2, num_heads=2, unidirectional=1)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_multi_head_attention(with_bias: bool, mask: str) -> None:
    inputs = {"q": floats(2, 3, 8), "k": floats(2, 5, 8), "v": floats(2, 5, 12)}
    inputs["bias"] = floats(28) if with_bias else None
    agree("MultiHeadAttention", inputs | {"mask": MASKS[mask], "addend": floats(1, 2, 3, 5)}, num_heads=2)


@pytest.mark.parametrize("unidirectional", [0, 1])
def test_multi_head_attention_with_a_past(unidirectional: int) -> None:
    inputs = {"q": floats(2, 3, 8), "k": floats(2, 3, 8), "v": floats(2, 3, 8), "_b": None, "_m": None, "_a": None}
    pasts = {"pk": floats(2, 2, 4, 4), "pv": floats(2, 2, 4, 4)}
    agree("MultiHeadAttention", inputs | pasts, 3, num_heads=2, unidirectional=unidirectional)


def test_keys_of_another_sequence_that_are_divided_already() -> None:
    inputs = {"q": floats(2, 3, 8), "k": floats(2, 2, 5, 4), "v": floats(2, 2, 5, 4)}
    agree("MultiHeadAttention", inputs, num_heads=2)


def test_packed_operands_are_refused() -> None:
    with pytest.raises(Findings, match="packed"):
        import_model(model("MultiHeadAttention", {"q": floats(2, 3, 2, 3, 4)}, 1, num_heads=2))
