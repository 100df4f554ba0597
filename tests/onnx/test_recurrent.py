"""ONNX's recurrent networks mean what the standard says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_runtime, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy.onnx.operators import recurrent
from glowpy_ir.errors import Findings
from glowpy_ir.ops.recurrent_layers import RecurrentLayer
from glowpy_ir.types import Array

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STATES = {"RNN": 1, "GRU": 1, "LSTM": 2}
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


@pytest.mark.parametrize("case", node_cases(*{name for name, _ in recurrent.LOADERS}), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


FUNCTIONS: dict[str, Any] = {
    "Affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "Elu": lambda x, alpha=1.0, beta=None: np.where(x < 0, alpha * (np.exp(x) - 1), x),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "LeakyRelu": lambda x, alpha=0.01, beta=None: np.where(x < 0, alpha * x, x),
    "Relu": lambda x: np.maximum(x, 0),
    "ScaledTanh": lambda x, alpha=1.0, beta=1.0: alpha * np.tanh(beta * x),
    "Sigmoid": sigmoid,
    "Softplus": lambda x: np.log(1 + np.exp(x)),
    "Softsign": lambda x: x / (1 + abs(x)),
    "Tanh": np.tanh,
    "ThresholdedRelu": lambda x, alpha=1.0, beta=None: np.where(x > alpha, x, 0),
}


def plain(operator: str, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> list[Array]:
    """The standard's equations, for one sequence, one direction and one step after the other."""
    x, w, r = inputs["x"], inputs["w"], inputs["r"]
    if attributes.get("layout"):
        swapped = {name: np.swapaxes(inputs[name], 0, 1) for name in ("x", "h", "c") if name in inputs}
        sequences, *ends = plain(operator, {**inputs, **swapped}, {**attributes, "layout": 0})
        return [np.transpose(sequences, (2, 0, 1, 3)), *(np.swapaxes(end, 0, 1) for end in ends)]
    steps, batch, _ = x.shape
    directions, width, hidden = r.shape
    gates, states, usual = GATES[operator], STATES[operator], USUAL[operator]
    names = attributes.get("activations", usual * directions)
    y = np.zeros((steps, directions, batch, hidden))
    finals = np.zeros((states, directions, batch, hidden))
    bias = inputs.get("b", np.zeros((directions, 2 * width)))
    clip = attributes.get("clip", np.inf)
    for d in range(directions):
        functions = [FUNCTIONS[name] for name in names[d * len(usual) : (d + 1) * len(usual)]]
        wb, rb = np.split(bias[d], 2)
        ws, rs, wbs, rbs = (np.split(array, gates) for array in (w[d], r[d], wb, rb))
        peepholes = np.split(inputs["p"][d], 3) if "p" in inputs else [np.zeros(hidden)] * 3
        for n in range(batch):
            length = int(inputs["l"][n]) if "l" in inputs else steps
            h, c = (inputs[name][d, n] if name in inputs else np.zeros(hidden) for name in ("h", "c"))
            backward = attributes["direction"] == "reverse" or d == 1
            for t in reversed(range(length)) if backward else range(length):
                outside = [x[t, n] @ ws[g].T + wbs[g] for g in range(gates)]
                sums = [outside[g] + h @ rs[g].T + rbs[g] for g in range(gates)]

                def gate(function: Any, total: Array) -> Array:
                    return np.asarray(function(np.clip(total, -clip, clip)))

                if operator == "RNN":
                    h = gate(functions[0], sums[0])
                elif operator == "GRU":
                    z, reset = gate(functions[0], sums[0]), gate(functions[0], sums[1])
                    if attributes.get("linear_before_reset"):
                        inner = reset * (h @ rs[2].T + rbs[2])
                    else:
                        inner = (reset * h) @ rs[2].T + rbs[2]
                    new = gate(functions[1], outside[2] + inner)
                    h = (1 - z) * new + z * h
                else:
                    i = gate(functions[0], sums[0] + peepholes[0] * c)
                    f = gate(functions[0], sums[2] + peepholes[2] * c)
                    f = 1 - i if attributes.get("input_forget") else f
                    c = f * c + i * gate(functions[1], sums[3])
                    h = gate(functions[0], sums[1] + peepholes[1] * c) * functions[2](c)
                y[t, d, n] = h
            finals[:, d, n] = [h, c][:states]
    return [y, *finals]


def random_inputs(
    operator: str, extents: Sequence[int], directions: int, given: Sequence[str], batch_first: bool, ragged: bool
) -> dict[str, Array | None]:
    """Operands with ``extents`` T, N, I, H; of the optional ones those ``given``."""
    rng = np.random.default_rng(sum(extents))
    steps, batch, width, hidden = extents
    gates = GATES[operator] * hidden
    state = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    shapes = {
        "x": (batch, steps, width) if batch_first else (steps, batch, width),
        "w": (directions, gates, width),
        "r": (directions, gates, hidden),
        "b": (directions, 2 * gates),
        "l": (batch,),
        "h": state,
        **({"c": state, "p": (directions, 3 * hidden)} if operator == "LSTM" else {}),
    }
    inputs: dict[str, Array | None] = {
        name: rng.uniform(-1, 1, shape).astype(np.float32) if name in "xwr" or name in given else None
        for name, shape in shapes.items()
    }
    inputs["l"] = rng.integers(0, steps + 1, batch).astype(np.int32) if ragged else None
    return inputs


@st.composite
def layers(draw: st.DrawFn) -> tuple[str, dict[str, Array | None], dict[str, Any]]:
    """An operator with operands and attributes of all sorts."""
    operator = draw(st.sampled_from(sorted(GATES)))
    extents = [draw(st.integers(1, most)) for most in (4, 3, 3, 5)]
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions = 1 + (direction == "bidirectional")
    attributes: dict[str, Any] = {"hidden_size": extents[3], "direction": direction}
    if draw(st.booleans()):
        attributes["clip"] = draw(st.floats(0.125, 1, width=32))
    if draw(st.booleans()):
        attributes["activations"] = [draw(st.sampled_from(sorted(FUNCTIONS))) for _ in USUAL[operator] * directions]
    for flag in ("layout", *{"GRU": ["linear_before_reset"], "LSTM": ["input_forget"]}.get(operator, [])):
        attributes[flag] = draw(st.integers(0, 1))
    given = draw(st.sets(st.sampled_from("bhcp")))
    batch_first = bool(attributes["layout"])
    inputs = random_inputs(operator, extents, directions, sorted(given), batch_first, draw(st.booleans()))
    return operator, inputs, attributes


@settings(max_examples=100, deadline=None)
@given(layers())
def test_equations(layer: tuple[str, dict[str, Array | None], dict[str, Any]]) -> None:
    operator, inputs, attributes = layer
    there = {name: array for name, array in inputs.items() if array is not None}
    expected = plain(operator, there, attributes)
    run = run_model(node_model(operator, inputs, 14, len(expected), **attributes), there)
    for index, array in enumerate(expected):
        compare(run[f"y{index}"], array.astype(np.float32), 1e-4, 1e-5)


@pytest.mark.parametrize("operator", sorted(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_numbers_of_activations_are_taken_in_order(operator: str, direction: str) -> None:
    """Each activation that has an alpha takes the next one."""
    count = len(USUAL[operator]) * (1 + (direction == "bidirectional"))
    names = ["Relu", "HardSigmoid", "Tanh", "LeakyRelu", "Elu", "ScaledTanh", "affine", "THRESHOLDEDRELU"][:count]
    inputs = random_inputs(operator, (3, 2, 2, 3), 1 + (direction == "bidirectional"), "b", False, False)
    numbers = {"activation_alpha": [0.25, 0.5, 0.75, 0.125, 1.0], "activation_beta": [0.375, 0.625, 0.875]}
    attributes: dict[str, Any] = {"hidden_size": 3, "direction": direction, "activations": names, **numbers}
    agree_with_runtime(operator, inputs, 14, 1 + STATES[operator], **attributes)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("operator", sorted(GATES))
def test_other_floats(operator: str, dtype: type[np.generic]) -> None:
    inputs = random_inputs(operator, (3, 2, 2, 3), 1, "bh", False, True)
    floats = {name: array if array is None or name == "l" else array.astype(dtype) for name, array in inputs.items()}
    there = {name: array for name, array in floats.items() if array is not None}
    attributes = {"hidden_size": 3, "direction": "forward"}
    run = run_model(node_model(operator, floats, 14, 2, **attributes), there)
    wide = {name: array if name == "l" else array.astype(np.float64) for name, array in there.items()}
    for index, array in enumerate(plain(operator, wide, attributes)[:2]):
        compare(run[f"y{index}"], array.astype(dtype), 2e-3 if dtype is np.float16 else 1e-12)


@pytest.mark.parametrize("opset", [1, 3, 7, 14, 22])
@pytest.mark.parametrize("operator", sorted(GATES))
def test_versions(operator: str, opset: int) -> None:
    attributes: dict[str, Any] = {"hidden_size": 3, "direction": "forward"}
    if opset < 7:
        attributes |= {"output_sequence": 1, "activations": USUAL[operator]}
    inputs = random_inputs(operator, (3, 2, 2, 3), 1, "b", False, False)
    there = {name: array for name, array in inputs.items() if array is not None}
    run = run_model(node_model(operator, inputs, opset, 2, **attributes), there)
    for index, array in enumerate(plain(operator, there, attributes)[:2]):
        compare(run[f"y{index}"], array.astype(np.float32), 1e-4, 1e-5)


@pytest.mark.parametrize(("length", "ragged"), [(3, False), (2, True)])
def test_lengths_that_say_nothing_are_left_out(length: int, ragged: bool) -> None:
    inputs = random_inputs("GRU", (3, 2, 2, 3), 1, "b", False, False)
    there = {name: array for name, array in inputs.items() if array is not None}
    operands = {**there, "_l": np.array([3, length], np.int32)}
    graph = import_model(node_model("GRU", operands, 14, 2, hidden_size=3))
    assert [node.op.ragged for node in graph.nodes if isinstance(node.op, RecurrentLayer)] == [ragged]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"hidden_size": 4}, "'hidden_size' is 4, but the weights are for 3"),
        ({"activations": ["Tanh"]}, "1 activations are given where there must be 2"),
        ({"activations": ["Tanh", "Swish"]}, "activation 'Swish' is unknown"),
        ({"clip": -1.0}, "must be positive"),
        ({"direction": "sideways"}, "attribute 'direction'"),
        ({"direction": "bidirectional"}, "begins with 2 and 9; not"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(attributes: dict[str, Any], message: str) -> None:
    inputs = random_inputs("GRU", (3, 2, 2, 3), 1, "b", False, False)
    there = {name: array for name, array in inputs.items() if array is not None}
    with pytest.raises(Findings, match=message):
        run_model(node_model("GRU", inputs, 14, 2, **attributes), there)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("b", (1, 17), "begins with 1 and 18; not"),
        ("w", (1, 8, 2), "begins with 1 and 9; not"),
        ("r", (1, 9), "must have three dimensions"),
        ("h", (1, 3, 3), "needs f32"),
        ("x", (2, 3), "must have three dimensions"),
    ],
)
def test_operands_that_do_not_fit(name: str, shape: tuple[int, ...], message: str) -> None:
    inputs = random_inputs("GRU", (3, 2, 2, 3), 1, "bh", False, False)
    inputs[name] = np.zeros(shape, np.float32)
    there = {name: array for name, array in inputs.items() if array is not None}
    with pytest.raises(Findings, match=message):
        run_model(node_model("GRU", inputs, 14, 2, hidden_size=3), there)
