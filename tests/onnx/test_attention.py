"""ONNX's operators on carried states mean what the standard says."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, node_cases, node_model, run_model

from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

CASES = node_cases("TensorScatter", "LinearAttention")
RNG = np.random.default_rng(4)


def random(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32) / 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [1, -2, -1])
def test_tensor_scatter(axis: int, mode: str) -> None:
    cache = random(2, 6, 5, 7)
    update = np.take(cache, range(2), axis) + 1
    starts = np.array([3, 1])
    agree_with_reference("TensorScatter", {"c": cache, "u": update, "s": starts}, 24, axis=axis, mode=mode)
    agree_with_reference("TensorScatter", {"c": cache, "u": update}, 24, axis=axis, mode=mode)


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
@pytest.mark.parametrize("by_row", [False, True])
def test_linear_attention(rule: str, by_row: bool) -> None:
    heads, shared, depth, width, tokens = 4, 2, 3, 5, 6
    inputs = {
        "q": random(2, tokens, heads * depth),
        "k": random(2, tokens, shared * depth),
        "v": random(2, tokens, shared * width),
        "s": random(2, shared, depth, width) if by_row else None,
        "g": -np.abs(random(2, tokens, shared * (depth if by_row else 1))) if "gated" in rule else None,
        "b": np.abs(random(2, tokens, 1 if by_row else shared)) if "delta" in rule else None,
    }
    attributes = {"update_rule": rule, "q_num_heads": heads, "kv_num_heads": shared}
    agree_with_reference("LinearAttention", inputs, 27, 2, atol=1e-5, **attributes)


def test_a_rule_needs_its_gates() -> None:
    inputs = {"q": random(1, 2, 6), "k": random(1, 2, 6), "v": random(1, 2, 6)}
    model = node_model("LinearAttention", inputs, 27, 2, q_num_heads=2, kv_num_heads=2)
    with pytest.raises(Findings, match="needs a decay and a beta"):
        run_model(model, inputs)


@pytest.mark.parametrize(
    ("update", "words"), [((2, 6, 7, 7), "is more than"), ((2, 6, 2, 8), "is no part of"), ((2, 6, 2), "is no part of")]
)
def test_updates_that_do_not_fit(update: tuple[int, ...], words: str) -> None:
    inputs = {"c": random(2, 6, 5, 7), "u": random(*update)}
    with pytest.raises(Findings, match=words):
        run_model(node_model("TensorScatter", inputs, 24), inputs)
