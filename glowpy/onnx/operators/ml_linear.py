"""Linear models of ai.onnx.ml."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.ml_scores import (
    PostTransform,
    affine,
    best,
    class_labels,
    floats,
    named,
    number,
    post_transform,
    rows_of_features,
    shaped,
    transformed,
)
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.functions import Neg
from glowpy_ir.ops.logic import Less
from glowpy_ir.ops.movement import Concat, Reshape
from glowpy_ir.types import Kind

DOMAIN = "ai.onnx.ml"


def _scores(c: NodeContext, targets: int) -> Value:
    if targets < 1:
        raise BadModel(f"there are {targets} targets")
    coefficients, intercepts = floats(c, "coefficients"), floats(c, "intercepts")
    rows = rows_of_features(c)
    weights = shaped(coefficients, "coefficients", targets, -1)
    return affine(c, rows, weights, shaped(intercepts, "intercepts", targets) if intercepts.size else intercepts)


def load_linear_regressor(c: NodeContext) -> Value:
    return transformed(c, _scores(c, c.attributes.int("targets", 1)), post_transform(c))


def load_linear_classifier(c: NodeContext) -> tuple[Value, Value]:
    """With scores for one of two classes only, those of the other one are derived."""
    c.attributes.int("multi_class", 0)
    labels, how = class_labels(c, "classlabels_ints"), post_transform(c)
    width = rows_of_features(c).type.extents[1]
    targets = len(c.attributes.floats("coefficients")) // max(1, width)
    scores = _scores(c, targets)
    if targets == 1 and len(labels) == 2:
        is_second = c.b.add(Reshape(scores.type.shape[:1]), c.b.add(Less(), number(c, 0, scores), scores))
        label = named(c, labels, c.b.add(Cast(Kind.I64), is_second))
        if how is PostTransform.PROBIT:
            return label, transformed(c, scores, how)
        return label, transformed(c, c.b.add(Concat(1), c.b.add(Neg(), scores), scores), how)
    if len(labels) != targets:
        raise BadModel(f"there are {len(labels)} labels for {targets} classes")
    return best(c, labels, scores), transformed(c, scores, how)


LOADERS: Table = {
    ("LinearClassifier", 1): load_linear_classifier,
    ("LinearRegressor", 1): load_linear_regressor,
}
