"""Support vector machines of ai.onnx.ml."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import combinations

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.ml_scores import (
    PostTransform,
    affine,
    as_kind,
    best,
    class_labels,
    floats,
    number,
    post_transform,
    rows_of_features,
    shaped,
    transformed,
)
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Max, Mul, Pow, Sub
from glowpy_ir.ops.functions import Exp, Neg, Sigmoid, Tanh
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import Less, Select
from glowpy_ir.ops.movement import Concat
from glowpy_ir.ops.reduction import ReduceSumSquare
from glowpy_ir.ops.scores import CouplePairs
from glowpy_ir.types import Array, Kind

DOMAIN = "ai.onnx.ml"


class Similarity(Enum):
    """What ONNX calls kernels: how alike two vectors are."""

    LINEAR = "LINEAR"
    POLY = "POLY"
    RBF = "RBF"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True)
class Compare:
    """Compares rows with support vectors."""

    how: Similarity
    gamma: float
    offset: float
    degree: float

    @classmethod
    def of(cls, c: NodeContext) -> Compare:
        parameters = c.attributes.floats("kernel_params", ()) or (0.0, 0.0, 0.0)
        if len(parameters) != 3:
            raise BadModel(f"attribute 'kernel_params' must be gamma, coef0 and degree, not {parameters}")
        return cls(c.attributes.choice("kernel_type", Similarity, Similarity.LINEAR), *parameters)

    def __call__(self, c: NodeContext, rows: Value, vectors: Array) -> Value:
        """``rows [n, features]`` and ``vectors [m, features]`` make ``[n, m]``."""
        if rows.type.shape[1] != vectors.shape[1]:
            raise BadModel(f"support vectors have {vectors.shape[1]} features, but {rows.type} are given")
        if self.how is Similarity.RBF:
            return self._radial(c, rows, vectors)
        product = affine(c, rows, vectors, np.zeros(0))
        if self.how is Similarity.LINEAR:
            return product
        scaled = c.b.add(Mul(), product, number(c, self.gamma, product))
        moved = c.b.add(Add(), scaled, number(c, self.offset, product))
        if self.how is Similarity.SIGMOID:
            return c.b.add(Tanh(), moved)
        return c.b.add(Pow(), moved, number(c, self.degree, moved))

    def _radial(self, c: NodeContext, rows: Value, vectors: Array) -> Value:
        """In f64, for squares of distances are differences of large numbers."""
        wide, exact = as_kind(c, rows, Kind.F64), vectors.astype(np.float64)
        twice = affine(c, wide, exact * 2, np.zeros(0))
        squares = c.b.add(Add(), c.b.add(ReduceSumSquare((1,)), wide), c.constant((exact**2).sum(1)))
        distances = c.b.add(Max(), c.b.add(Sub(), squares, twice), number(c, 0, twice))
        return as_kind(c, c.b.add(Exp(), c.b.add(Mul(), distances, number(c, -self.gamma, twice))), Kind.F32)


def load_svm_regressor(c: NodeContext) -> Value:
    rows, compare = rows_of_features(c), Compare.of(c)
    count, coefficients = c.attributes.int("n_supports", 0), floats(c, "coefficients")
    offset, vectors = shaped(floats(c, "rho"), "rho", 1), floats(c, "support_vectors")
    if count > 0:
        rows = compare(c, rows, shaped(vectors, "support_vectors", count, -1))
    scores = affine(c, rows, shaped(coefficients, "coefficients", 1, int(rows.type.extents[1])), offset)
    if c.attributes.flag("one_class", False):
        inside = c.b.add(Less(), number(c, 0, scores), scores)
        scores = c.b.add(Select(), inside, number(c, 1, scores), number(c, -1, scores))
    return transformed(c, scores, post_transform(c))


def load_svm_classifier(c: NodeContext) -> tuple[Value, Value]:
    """Each pair of classes has a machine of its own, which votes for one; or each class has a linear score."""
    labels, how = class_labels(c, "classlabels_ints"), post_transform(c)
    counts, coefficients = c.attributes.ints("vectors_per_class", ()), floats(c, "coefficients")
    chance = (floats(c, "prob_a"), floats(c, "prob_b"))
    rows, compare, offsets = rows_of_features(c), Compare.of(c), floats(c, "rho")
    vectors = floats(c, "support_vectors")
    if not any(counts):
        weights = shaped(coefficients, "coefficients", len(labels), -1)
        if offsets.size not in (1, len(labels)):
            raise BadModel(f"attribute 'rho' has {offsets.size} numbers for {len(labels)} classes")
        scores = affine(c, rows, weights, np.broadcast_to(offsets[:1], len(labels)))
        return best(c, labels, scores), transformed(c, scores, how)
    if len(counts) != len(labels) or min(counts) < 0 or len(labels) < 2:
        raise BadModel(f"{len(counts)} classes have vectors, and {len(labels)} have labels; two are needed at least")
    alike = compare(c, rows, shaped(vectors, "support_vectors", sum(counts), -1))
    pairs = list(combinations(range(len(counts)), 2))
    weights = _pair_weights(shaped(coefficients, "coefficients", len(counts) - 1, sum(counts)), counts, pairs)
    margins = affine(c, alike, weights, shaped(offsets, "rho", len(pairs)))
    label = best(c, labels, _votes(c, margins, len(counts), pairs))
    if not chance[0].size:
        return label, _margin_scores(c, margins, how)
    slope, start = (shaped(numbers, name, len(pairs)) for name, numbers in zip("ab", chance, strict=True))
    tilted = c.b.add(Add(), c.b.add(Mul(), margins, c.constant(slope)), c.constant(start))
    first = c.b.add(Sigmoid(), c.b.add(Neg(), tilted))
    if len(counts) == 2:
        chances = c.b.add(Concat(1), first, c.b.add(Sub(), number(c, 1, first), first))
    else:
        chances = c.b.add(CouplePairs(len(counts)), first)
    return label, transformed(c, chances, how)


def _pair_weights(coefficients: Array, counts: tuple[int, ...], pairs: list[tuple[int, int]]) -> Array:
    """For each pair the weight of each vector, which is 0 if it belongs to neither class."""
    ends = np.cumsum(counts)
    own = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    weights = np.zeros((len(pairs), coefficients.shape[1]), np.float32)
    for row, (i, j) in zip(weights, pairs, strict=True):
        row[own[i]] = coefficients[j - 1, own[i]]
        row[own[j]] = coefficients[i, own[j]]
    return weights


def _votes(c: NodeContext, margins: Value, classes: int, pairs: list[tuple[int, int]]) -> Value:
    """How many pairs each class wins; a pair without a margin is won by its second class."""
    gains = np.zeros((len(pairs), classes), np.float32)
    for row, (i, j) in zip(gains, pairs, strict=True):
        row[i], row[j] = 1, -1
    second = np.bincount([j for _, j in pairs], minlength=classes).astype(np.float32)
    wins = c.b.add(Cast(Kind.F32), c.b.add(Less(), number(c, 0, margins), margins))
    return c.b.add(Add(), c.b.add(MatMul(), wins, c.constant(gains)), c.constant(second))


def _margin_scores(c: NodeContext, margins: Value, how: PostTransform) -> Value:
    """The margins; of two classes, one for each."""
    if margins.type.shape[1] == 1 and how is not PostTransform.PROBIT:
        margins = c.b.add(Concat(1), c.b.add(Neg(), margins), margins)
    return transformed(c, margins, how)


LOADERS: Table = {
    ("SVMClassifier", 1): load_svm_classifier,
    ("SVMRegressor", 1): load_svm_regressor,
}
