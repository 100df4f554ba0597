"""What the classifiers and regressors of ai.onnx.ml have in common: post-transforms and labels."""

from __future__ import annotations

from enum import Enum

import numpy as np

from glowpy.onnx.context import NodeContext
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Splat
from glowpy_ir.ops.functions import Sigmoid
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.reduction import ArgMax
from glowpy_ir.ops.scores import Probit, SoftmaxOfNonZero
from glowpy_ir.ops.softmax import Softmax
from glowpy_ir.types import Array, Kind


class PostTransform(Enum):
    """What becomes of the scores at last."""

    NONE = "NONE"
    SOFTMAX = "SOFTMAX"
    LOGISTIC = "LOGISTIC"
    SOFTMAX_ZERO = "SOFTMAX_ZERO"
    PROBIT = "PROBIT"


_OPERATORS = {
    PostTransform.SOFTMAX: Softmax(1),
    PostTransform.LOGISTIC: Sigmoid(),
    PostTransform.SOFTMAX_ZERO: SoftmaxOfNonZero(),
    PostTransform.PROBIT: Probit(),
}


def post_transform(c: NodeContext) -> PostTransform:
    return c.attributes.choice("post_transform", PostTransform, PostTransform.NONE)


def transformed(c: NodeContext, scores: Value, how: PostTransform) -> Value:
    """The scores ``[rows, targets]`` after a post-transform."""
    return scores if how is PostTransform.NONE else c.b.add(_OPERATORS[how], scores)


def rows_of_features(c: NodeContext, *kinds: Kind) -> Value:
    """The first operand as rows; as f32, unless it has one of these kinds."""
    value = c.input(0)
    if value.type.rank not in (1, 2):
        raise TypeMismatch(f"rows of features are needed, not {value.type}")
    if value.type.kind not in kinds:
        value = as_kind(c, value, Kind.F32)
    return value if value.type.rank == 2 else c.b.add(Reshape((1, *value.type.shape)), value)


def as_kind(c: NodeContext, value: Value, kind: Kind) -> Value:
    return value if value.type.kind is kind else c.b.add(Cast(kind), value)


def number(c: NodeContext, value: float, like: Value) -> Value:
    """A scalar of the kind of another value."""
    return c.b.add(Splat(value, like.type.kind))


def affine(c: NodeContext, rows: Value, coefficients: Array, intercepts: Array) -> Value:
    """``rows [n, features]`` times ``coefficients [targets, features]``, and ``intercepts`` added."""
    product = c.b.add(MatMul(), rows, c.constant(np.ascontiguousarray(coefficients.T)))
    return c.b.add(Add(), product, c.constant(intercepts)) if intercepts.any() else product


def floats(c: NodeContext, name: str) -> Array:
    """An attribute that is a list of numbers, empty if it is missing."""
    return np.array(c.attributes.floats(name, ()), np.float32)


def shaped(array: Array, name: str, *shape: int) -> Array:
    """An attribute as a tensor; BadModel if it has another number of elements."""
    try:
        return array.reshape(shape)
    except ValueError:
        raise BadModel(f"attribute '{name}' has {array.size} numbers, which do not make {list(shape)}") from None


def class_labels(c: NodeContext, integers: str) -> Array:
    """The names of the classes, which are texts or the integers of an attribute; BadModel unless there are some."""
    texts, numbers = c.attributes.strings("classlabels_strings", ()), c.attributes.ints(integers, ())
    if bool(texts) == bool(numbers):
        raise BadModel(f"either 'classlabels_strings' or '{integers}' is needed")
    return np.array(texts, object) if texts else np.array(numbers, np.int64)


def named(c: NodeContext, labels: Array, places: Value) -> Value:
    """The labels at places."""
    return c.b.add(Gather(), c.constant(labels), places)


def best(c: NodeContext, labels: Array, scores: Value) -> Value:
    """The label of the largest score of each row."""
    return named(c, labels, c.b.add(ArgMax(1, keepdims=False), scores))
