"""Operators of the first six operator sets mean what their versions said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx_cases import compare, node_model, run_model

from glowpy.onnx.operators import early
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

X = np.arange(1, 2 * 3 * 5 * 7 + 1, dtype=np.float32).reshape(2, 3, 5, 7) / 8


def run(operator: str, opset: int, *inputs: Array, results: int = 1, **attributes: Any) -> list[Array]:
    """The results of one node; operands whose place is odd are constants."""
    named = {f"_x{i}" if i % 2 else f"x{i}": array for i, array in enumerate(inputs)}
    model = node_model(operator, named, opset, results, **attributes)
    made = run_model(model, {name: array for name, array in named.items() if not name.startswith("_")})
    return [made[f"y{i}"] for i in range(results)]


def test_every_row_is_older_than_its_family() -> None:
    assert {since for _, since in early.LOADERS} == {1}


@pytest.mark.parametrize("opset", [1, 6])
@pytest.mark.parametrize(
    ("shape", "axis", "aligned"),
    [((), None, ()), ((7,), None, (7,)), ((5, 7), None, (5, 7)), ((3, 5), 1, (3, 5, 1)), ((2,), 0, (2, 1, 1, 1))],
)
def test_broadcast(opset: int, shape: tuple[int, ...], axis: int | None, aligned: tuple[int, ...]) -> None:
    y = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    where = {} if axis is None else {"axis": axis}
    consumed = {"consumed_inputs": [0, 0]} if opset == 1 else {}
    for operator, compute in (("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)):
        (result,) = run(operator, opset, X, y, broadcast=1, **where, **consumed)
        compare(result, compute(X, y.reshape(aligned)))


def test_logic_broadcasts_when_asked() -> None:
    x, y, limits = X > 9, np.array([True, False, True]), np.array([1, 9, 20], np.float32)
    (result,) = run("And", 1, x, y, broadcast=1, axis=1)
    compare(result, x & y.reshape(3, 1, 1))
    (result,) = run("Greater", 1, X, limits, broadcast=1, axis=1)
    compare(result, limits.reshape(3, 1, 1) < X)


@pytest.mark.parametrize(
    ("y", "attributes", "words"),
    [
        (X[0], {}, "broadcast is not asked for"),
        (X[0], {"broadcast": 1, "axis": 2}, "more dimensions"),
        (X[0], {"broadcast": 1, "axis": 7}, "axis 7 is outside"),
    ],
)
def test_shapes_that_do_not_fit(y: Array, attributes: dict[str, int], words: str) -> None:
    with pytest.raises(Findings, match=words):
        run("Add", 6, X, y, **attributes)


CONSUMING: dict[str, Callable[[Array], Any]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Clip": lambda x: x,
    "Elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "Exp": np.exp,
    "Floor": np.floor,
    "HardSigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "LeakyRelu": lambda x: np.where(x < 0, np.float32(0.01) * x, x),
    "Log": np.log,
    "Max": lambda x: x,
    "Mean": lambda x: x,
    "Min": lambda x: x,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0),
    "Selu": lambda x: np.float32(1.0507) * x,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sqrt": np.sqrt,
    "Sum": lambda x: x,
    "Tanh": np.tanh,
}


@pytest.mark.parametrize("operator", CONSUMING)
def test_consumed_inputs_do_not_matter(operator: str) -> None:
    x = X[:1] / 4
    (result,) = run(operator, 1, x, consumed_inputs=[0])
    compare(result, np.asarray(CONSUMING[operator](x), np.float32), 1e-5)


@pytest.mark.parametrize("opset", [1, 6])
def test_batch_normalization(opset: int) -> None:
    scale, bias, mean, variance = (np.arange(3, dtype=np.float32) + i for i in range(1, 5))
    consumed = {"consumed_inputs": [0, 0, 0, 1, 1]} if opset == 1 else {}
    (result,) = run("BatchNormalization", opset, X, scale, bias, mean, variance, is_test=1, **consumed)
    s, b, m, v = (part.reshape(3, 1, 1) for part in (scale, bias, mean, variance))
    compare(result, (X - m) / np.sqrt(v + np.float32(1e-5)) * s + b, 1e-4)


def test_cast_by_name() -> None:
    (result,) = run("Cast", 1, X, to="INT32")
    compare(result, X.astype(np.int32))
    with pytest.raises(Findings, match="'FLOAT17', which is no known element type"):
        run("Cast", 1, X, to="FLOAT17")


def test_concat_joins_channels() -> None:
    (result,) = run("Concat", 1, X, X[:, :1])
    compare(result, np.concatenate([X, X[:, :1]], 1))


def test_dropout_copies() -> None:
    (result,) = run("Dropout", 6, X, is_test=1, ratio=0.3)
    compare(result, X)
    with pytest.raises(Findings, match="training mode"):
        run("Dropout", 6, X)


def test_gemm_repeats_the_addend_when_asked() -> None:
    a, b, addend = X[0, 0], X[0, 1].T.copy(), X[0, 0, 0, :5]
    (result,) = run("Gemm", 6, a, b, addend, broadcast=1)
    compare(result, a @ b + addend)
    with pytest.raises(Findings, match="broadcast is not asked for"):
        run("Gemm", 6, a, b, addend)


def test_pools_with_a_norm() -> None:
    (result,) = run("GlobalLpPool", 1, X, p=3.0)
    compare(result, np.cbrt((X.astype(np.float64) ** 3).sum((2, 3), keepdims=True)).astype(np.float32), 1e-5)
    (result,) = run("LpPool", 1, X, kernel_shape=[5, 7])
    compare(result, np.sqrt((X**2).sum((2, 3), keepdims=True)), 1e-5)
    with pytest.raises(Findings, match="only whole numbers"):
        run("GlobalLpPool", 1, X, p=2.5)


def test_pad() -> None:
    (result,) = run("Pad", 1, X, paddings=[0, 0, 1, 2, 0, 0, 3, 4], value=9.0)
    compare(result, np.pad(X, [(0, 0), (0, 0), (1, 3), (2, 4)], constant_values=9))


@pytest.mark.parametrize("slope", [[0.5], [0.5, 2, 3]])
def test_prelu(slope: list[float]) -> None:
    x, factors = X - 10, np.array(slope, np.float32)
    (result,) = run("PRelu", 6, x, factors)
    compare(result, np.where(x < 0, x * factors.reshape(-1, 1, 1), x))


def test_reshape_by_attribute() -> None:
    (result,) = run("Reshape", 1, X, shape=[0, -1, 7], consumed_inputs=[0])
    compare(result, X.reshape(2, 15, 7))


def test_split_by_attribute_and_by_operand() -> None:
    by_attribute = run("Split", 1, X, results=2, axis=2, split=[1, 4])
    by_operand = run("Split", 1, X, np.array([1, 4], np.float32), results=2, axis=2)
    for parts in (by_attribute, by_operand):
        for part, expected in zip(parts, np.split(X, [1], 2), strict=True):
            compare(part, expected)


def test_tile_one_axis() -> None:
    named = {"x": X, "_times": np.array(3, np.float32), "_axis": np.array(1, np.float32)}
    compare(run_model(node_model("Tile", named, 1), {"x": X})["y0"], np.tile(X, (1, 3, 1, 1)))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_upsample(mode: str) -> None:
    (result,) = run("Upsample", 1, X, height_scale=2.0, width_scale=3.0, mode=mode)
    if mode == "nearest":
        compare(result, X.repeat(2, 2).repeat(3, 3))
    else:
        compare(result[..., ::2, ::3], X)
        compare(result[..., 1:-1:2, ::3], (X[..., :-1, :] + X[..., 1:, :]) / 2)
