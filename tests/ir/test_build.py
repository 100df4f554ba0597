"""Graphs are built in Python by one method for each operator, and misuse is told."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from glowpy_ir.build import GraphBuilder
from glowpy_ir.calls import METHODS, method_name, signature_text
from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.evaluate import evaluate
from glowpy_ir.ops import ALL
from glowpy_ir.ops.logic import And, IsNan
from glowpy_ir.ops.normalization import LayerNormalization
from glowpy_ir.ops.reduction import ReduceL1, ReduceLogSumExp
from glowpy_ir.text import print_graph
from glowpy_ir.types import Array, Kind, TensorType


def test_a_small_classifier() -> None:
    g = GraphBuilder("classifier")
    x = g.input("x", "f32[2,3]")
    weights: Array = np.arange(12, dtype=np.float32).reshape(3, 4)
    hidden = g.relu(g.add(g.matmul(x, weights), -20), name="hidden")
    g.output(scores=g.softmax(hidden, axis=1), largest=g.arg_max(hidden, axis=1, keepdims=False))
    feed: Array = np.array([[1, 2, 3], [0, 0, 1]], np.float32)
    scores, largest = evaluate(g.graph, {"x": feed})
    expected = np.exp(np.maximum(feed @ weights - 20, 0))
    np.testing.assert_allclose(scores, expected / expected.sum(1, keepdims=True), rtol=1e-6)
    assert largest.tolist() == [3, 0]
    assert "%hidden = Relu(" in print_graph(g.graph)


def test_operands_and_attributes_by_name() -> None:
    g = GraphBuilder()
    x, scale = g.input("x", TensorType(Kind.F16, (2, 5))), g.input("scale", "f16[5]")
    y = g.layer_normalization(x, scale=scale, bias=scale, axis=1)
    assert y.producer is not None
    assert y.producer.op == LayerNormalization(1)
    assert y.producer.inputs == (x, scale, scale)
    assert g.cast(y, to="i8").type == TensorType(Kind.I8, (2, 5))
    assert g.reduce_sum(y, axes=[0, np.int64(1)], keepdims=False).type.shape == ()


def test_several_results_and_operands() -> None:
    g = GraphBuilder()
    x = g.input("x", "f32[2,5]")
    mean, inverse = g.layer_statistics(x, axis=1)
    assert mean.type == inverse.type == TensorType(Kind.F32, (2, 1))
    assert g.concat(x, x, mean, axis=1).type.shape == (2, 11)


def test_numbers_get_the_kind_of_the_tensor() -> None:
    g = GraphBuilder()
    assert g.mul(2, g.input("x", "bf16[3]")).type.kind is Kind.BF16
    assert g.max(g.input("n", "i8[3]"), 0).type.kind is Kind.I8


MISUSES = [
    (lambda g, x: g.softmaxx(x), AttributeError, r"no operator is called 'softmaxx'; did you mean softmax"),
    (lambda g, x: g.softmax(x), UsageError, r"'axis'; the operator is softmax\(input, \*, axis: int\)"),
    (lambda g, x: g.softmax(x, axes=1), UsageError, r"'axes'|'axis'"),
    (lambda g, x: g.softmax(x, axis=(1,)), UsageError, r"axis must not be \(1,\)"),
    (
        lambda g, x: g.reduce_sum(x, axes=1),
        UsageError,
        r"axes must not be 1; the operator is reduce_sum\(",
    ),
    (lambda g, x: g.reduce_sum(x, axes=[1.5]), UsageError, r"axes must not be \(1\.5,\)"),
    (lambda g, x: g.cast(x, to="f33"), UsageError, r"to must not be 'f33'"),
    (lambda g, x: g.layer_normalization(x, bias=x, axis=1), UsageError, r"'scale'"),
    (lambda g, x: g.conv(x, x, strides=1, before=1, after=1, dilations=1), UsageError, r"strides must not be 1"),
    (lambda g, x: g.add(x), UsageError, r"'rhs'; the operator is add\(lhs, rhs\)"),
    (lambda g, x: g.add(x, x, x), UsageError, r"too many"),
    (lambda g, x: g.add(x, None), TypeMismatch, r"Add takes lhs, rhs; 1 given"),
    (lambda g, x: g.add(x, "1"), UsageError, r"rhs of Add must be a value, an array or a number; not '1'"),
    (lambda g, x: g.add(x, np.zeros(3, np.float32)), TypeMismatch, r"do not broadcast"),
    (lambda g, x: g.input("y", "f32(3)"), TypeMismatch, r"not a tensor type"),
]


@pytest.mark.parametrize(("misuse", "error", "message"), MISUSES)
def test_misuse_is_told(misuse: object, error: type[Exception], message: str) -> None:
    assert callable(misuse)
    g = GraphBuilder()
    with pytest.raises(error, match=message):
        misuse(g, g.input("x", "f32[2,5]"))


def test_names_of_methods() -> None:
    names = {ReduceL1: "reduce_l1", ReduceLogSumExp: "reduce_log_sum_exp", And: "and_", IsNan: "is_nan"}
    assert {cls: method_name(cls) for cls in names} == names
    assert len(METHODS) == len(ALL)
    assert not METHODS.keys() & vars(GraphBuilder).keys()


def test_methods_are_documented() -> None:
    g = GraphBuilder()
    assert "softmax" in dir(g)
    assert g.softmax.__doc__ is not None
    assert g.softmax.__doc__.startswith("softmax(input, *, axis: int)")
    assert list(inspect.signature(g.layer_normalization).parameters) == ["input", "scale", "bias", "axis", "epsilon"]
    assert signature_text(LayerNormalization) == (
        "layer_normalization(input, scale, bias=None, *, axis: int, epsilon: float = 1e-05)"
    )
