"""Steps of optimisers, for many parameters at once, against the formulas of the papers; and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import check_case, node_cases, run_model

from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(6)
SHAPES = [(3,), (2, 5), ()]


@pytest.mark.parametrize("case", node_cases("Adagrad", "Adam", "Momentum"), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


def stepped(operator: str, kinds: int, step: int, **attributes: float | str) -> tuple[list[Array], list[Array]]:
    """The tensors that go into a step of several parameters, kind by kind, and what comes out."""
    tensors = [RNG.random(shape).astype(np.float64) + 0.1 for _ in range(kinds) for shape in SHAPES]
    feeds = {"r": np.array([0.1], np.float32), "t": np.array(step)} | {f"x{i}": x for i, x in enumerate(tensors)}
    run = run_model(training_model(operator, feeds, (kinds - 1) * len(SHAPES), **attributes), feeds)
    return tensors, [run[f"y{i}"] for i in range((kinds - 1) * len(SHAPES))]


def training_model(operator: str, feeds: dict[str, Array], results: int, **attributes: float | str) -> ModelProto:
    outputs = [f"y{i}" for i in range(results)]
    node = helper.make_node(operator, list(feeds), outputs, domain="ai.onnx.preview.training", **attributes)
    codes = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    inputs = [helper.make_tensor_value_info(name, codes[name], array.shape) for name, array in feeds.items()]
    graph = helper.make_graph([node], operator, inputs, [helper.make_empty_tensor_value_info(name) for name in outputs])
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.preview.training", 1)]
    return helper.make_model(graph, opset_imports=versions)


@pytest.mark.parametrize("step", [0, 3])
def test_adagrad(step: int) -> None:
    given, made = stepped("Adagrad", 3, step, decay_factor=0.5, epsilon=0.01, norm_coefficient=0.2)
    for x, g, h, x_new, h_new in zip(given[:3], given[3:6], given[6:], made[:3], made[3:], strict=True):
        slope = g + 0.2 * x
        np.testing.assert_allclose(h_new, h + slope**2, 1e-6)
        np.testing.assert_allclose(x_new, x - 0.1 / (1 + step * 0.5) * slope / (np.sqrt(h_new) + 0.01), 1e-6)


@pytest.mark.parametrize("step", [0, 3])
def test_adam(step: int) -> None:
    given, made = stepped("Adam", 4, step, alpha=0.8, beta=0.9, epsilon=0.01, norm_coefficient_post=0.25)
    for i in range(3):
        x, g, v, h = given[i::3]
        mean, squares = 0.8 * v + 0.2 * g, 0.9 * h + 0.1 * g**2
        rate = 0.1 * np.sqrt(1 - 0.9**step) / (1 - 0.8**step) if step else 0.1
        np.testing.assert_allclose(made[3 + i], mean, 1e-6)
        np.testing.assert_allclose(made[6 + i], squares, 1e-6)
        np.testing.assert_allclose(made[i], 0.75 * (x - rate * mean / (np.sqrt(squares) + 0.01)), 1e-5)


@pytest.mark.parametrize("mode", ["standard", "nesterov"])
@pytest.mark.parametrize("step", [0, 3])
def test_momentum(step: int, mode: str) -> None:
    given, made = stepped("Momentum", 3, step, alpha=0.9, beta=0.3, norm_coefficient=0.5, mode=mode)
    for x, g, v, x_new, v_new in zip(given[:3], given[3:6], given[6:], made[:3], made[3:], strict=True):
        slope = g + 0.5 * x
        velocity = 0.9 * v + (0.3 if step else 1) * slope
        np.testing.assert_allclose(v_new, velocity, 1e-6)
        way = slope + 0.9 * velocity if mode == "nesterov" else velocity
        np.testing.assert_allclose(x_new, x - 0.1 * way, 1e-6)


def test_faults_are_told() -> None:
    x = np.zeros(3, np.float32)
    feeds = {"r": np.array(0.1, np.float32), "t": np.array(1), "a": x, "b": x}
    with pytest.raises(Findings, match="2 tensors are no 3 for each parameter"):
        import_model(training_model("Adagrad", feeds, 1))
    with pytest.raises(Findings, match="'alpha' is missing"):
        import_model(training_model("Momentum", feeds | {"c": x}, 1, mode="standard", beta=0.5))


def gradient_model(**changed: object) -> ModelProto:
    """The derivatives of ``d = tanh(a b) + c`` by ``a`` and ``b``, where ``p`` stands for ``a``, and ``c`` is fixed."""
    settings = {"inputs": ["p", "b", "c"], "xs": ["a", "b"], "zs": ["c"], "y": "d"} | changed
    nodes = [
        helper.make_node(
            "Gradient", settings.pop("inputs"), ["da", "db"], domain="ai.onnx.preview.training", **settings
        ),
        helper.make_node("MatMul", ["a", "b"], ["ab"]),
        helper.make_node("Tanh", ["ab"], ["t"]),
        helper.make_node("Add", ["t", "c"], ["d"]),
    ]
    shapes = {"a": [2, 3], "b": [3, 4], "c": [4], "p": [2, 3]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in ("d", "da", "db")]
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.preview.training", 1)]
    return helper.make_model(helper.make_graph(nodes, "gradient", inputs, outputs), opset_imports=versions)


def test_derivatives() -> None:
    """The node stands before those whose results it derives."""
    a, b, c, p = (RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (3, 4), (4,), (2, 3)))
    run = run_model(gradient_model(), {"a": a, "b": b, "c": c, "p": p})
    slope = 1 - np.tanh(p @ b) ** 2
    np.testing.assert_allclose(run["da"], slope @ b.T, 1e-4, 1e-6)
    np.testing.assert_allclose(run["db"], p.T @ slope, 1e-4, 1e-6)
    np.testing.assert_allclose(run["d"], np.tanh(a @ b) + c, 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": "nothing"}, "'nothing' is made by no node"),
        ({"y": "c"}, "does not depend"),
        ({"xs": ["a"]}, "3 operands are given for 2 names"),
        ({"xs": ["b", "a"]}, "cannot be"),
    ],
)
def test_faults_of_derivatives_are_told(changed: dict[str, object], message: str) -> None:
    with pytest.raises(Findings, match=message):
        import_model(gradient_model(**changed))
