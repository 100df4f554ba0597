"""Ensembles of decision trees, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Any

import numpy as np

from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.op import Primitive
from glowpy_ir.types import Array, Kind, TensorType


class Outcome(IntFlag):
    """For which relations of a feature to a node's limit the way leads to the node's first child."""

    LESS = 1
    EQUAL = 2
    GREATER = 4
    UNORDERED = 8
    """One of them is NaN."""


class Vote(Enum):
    """How the weights of the leaves that were reached are combined."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"

    @property
    def neutral(self) -> float:
        """What changes nothing when it is combined."""
        return {Vote.SUM: 0.0, Vote.MIN: np.inf, Vote.MAX: -np.inf}[self]


_COMBINE: Mapping[Vote, Callable[[Array, Any, Array], None]] = {
    Vote.SUM: np.add.at,
    Vote.MIN: np.minimum.at,
    Vote.MAX: np.maximum.at,
}


@dataclass(frozen=True)
class TreeEnsemble(Primitive):
    """For each row the weights of the leaves that it leads to, combined for each target

    Operands: ``input [rows, features]``; ``roots i32[trees]``; of each node the feature it looks at, the limit that
    this is compared with, the outcomes (u8, flags of ``Outcome``) of a comparison that lead to the first child, and
    both children; where its weights begin, and where the last ones end ``i32[nodes + 1]``; and of each weight its
    target and itself. A leaf is its own child, and leads nowhere else. No way from a root to a leaf has more than
    ``depth`` steps. There are ``features`` at least. A target of which no leaf was reached is 0. UsageError if a number
    in a table is out of range.
    """

    targets: int
    features: int
    depth: int
    vote: Vote = Vote.SUM

    def infer(
        self,
        input: TensorType,
        roots: TensorType,
        feature: TensorType,
        limit: TensorType,
        outcome: TensorType,
        first: TensorType,
        second: TensorType,
        begin: TensorType,
        target: TensorType,
        weight: TensorType,
    ) -> TensorType:
        if input.kind not in (Kind.F32, Kind.F64) or input.rank != 2:
            raise TypeMismatch(f"{self.name} takes f32 or f64 [rows, features], not {input}")
        width = input.shape[1]
        if isinstance(width, int) and width < self.features:
            raise TypeMismatch(f"the trees look at {self.features} features; {input} has {width}")
        if self.targets < 1 or self.depth < 0 or (self.depth and (self.features < 1 or width == 0)):
            raise TypeMismatch(f"no trees have {self.targets} targets, {self.features} features and {self.depth} steps")
        tables = (feature, limit, outcome, first, second, begin, target, weight)
        nodes, weights = (table.shape[0] if table.rank else 0 for table in (feature, weight))
        wanted = [
            (Kind.I32, nodes), (input.kind, nodes), (Kind.U8, nodes), (Kind.I32, nodes), (Kind.I32, nodes),
            (Kind.I32, nodes + 1), (Kind.I32, weights), (input.kind, weights),
        ]  # fmt: skip
        if roots.kind is not Kind.I32 or roots.rank != 1 or [(table.kind, *table.shape) for table in tables] != wanted:
            raise TypeMismatch(f"the tables of {self.name} do not fit: {', '.join(map(str, (roots, *tables)))}")
        if nodes == 0 and roots.shape != (0,):
            raise TypeMismatch(f"the trees of {self.name} have no nodes")
        return input.with_shape(input.shape[0], self.targets)

    def evaluate(
        self,
        input: Array,
        roots: Array,
        feature: Array,
        limit: Array,
        outcome: Array,
        first: Array,
        second: Array,
        begin: Array,
        target: Array,
        weight: Array,
    ) -> Array:
        numbers = (
            (roots, len(feature)), (feature, max(input.shape[1], 1)), (first, len(feature)), (second, len(feature)),
            (begin, len(weight) + 1), (target, self.targets),
        )  # fmt: skip
        inside = (table.size == 0 or 0 <= table.min() <= table.max() < count for table, count in numbers)
        if not all(inside) or (np.diff(begin) < 0).any():
            raise UsageError(f"a number in a table of {self.name} is out of range")
        rows = np.arange(len(input))
        result = np.full((len(input), self.targets), self.vote.neutral, input.dtype)
        for root in roots:
            node = np.full(len(input), root)
            for _ in range(self.depth):
                x, y = input[rows, feature[node]], limit[node]
                relation = np.select([x < y, x == y, x > y], [0, 1, 2], 3).astype(np.uint8)
                node = np.where(outcome[node] >> relation & 1, first[node], second[node])
            counts = begin[node + 1] - begin[node]
            starts = np.repeat(begin[node] - (np.cumsum(counts) - counts), counts)
            chosen = starts + np.arange(counts.sum())
            _COMBINE[self.vote](result, (np.repeat(rows, counts), target[chosen]), weight[chosen])
        return result if self.vote is Vote.SUM else np.where(result == self.vote.neutral, result.dtype.type(0), result)
