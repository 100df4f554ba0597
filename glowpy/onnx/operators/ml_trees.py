"""Ensembles of decision trees of ai.onnx.ml: their nodes become tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.ml_scores import (
    PostTransform,
    as_kind,
    best,
    class_labels,
    named,
    number,
    post_transform,
    rows_of_features,
    transformed,
)
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Add, Div, Splat, Sub
from glowpy_ir.ops.functions import Neg
from glowpy_ir.ops.logic import Less
from glowpy_ir.ops.movement import Concat, Reshape
from glowpy_ir.ops.trees import Outcome, TreeEnsemble, Vote
from glowpy_ir.types import Array, Kind

DOMAIN = "ai.onnx.ml"

_UNORDERED = Outcome.UNORDERED

_OUTCOMES = {
    "BRANCH_LEQ": Outcome.LESS | Outcome.EQUAL,
    "BRANCH_LT": Outcome.LESS,
    "BRANCH_GTE": Outcome.GREATER | Outcome.EQUAL,
    "BRANCH_GT": Outcome.GREATER,
    "BRANCH_EQ": Outcome.EQUAL,
    "BRANCH_NEQ": Outcome.LESS | Outcome.GREATER | Outcome.UNORDERED,
}
_MODES = (*_OUTCOMES, "BRANCH_MEMBER")
"""As the newer operator counts them."""


class Aggregate(Enum):
    """How the trees' weights are combined."""

    SUM = "SUM"
    AVERAGE = "AVERAGE"
    MIN = "MIN"
    MAX = "MAX"


_AGGREGATES = (Aggregate.AVERAGE, Aggregate.SUM, Aggregate.MIN, Aggregate.MAX)
"""As the newer operator counts them."""


@dataclass(frozen=True)
class Forest:
    """The tables of ``TreeEnsemble``; children that are leaves are numbered behind the nodes or among them."""

    roots: Array
    feature: Array
    limit: Array
    outcome: Array
    first: Array
    second: Array
    begin: Array
    target: Array
    weight: Array

    @property
    def depth(self) -> int:
        """The most steps from a root to a leaf; BadModel if nodes lead back to themselves."""
        count = len(self.feature)
        own = np.arange(count)
        inner = (self.first != own) | (self.second != own)
        for name, table in (("a root", self.roots), ("a child", self.first), ("a child", self.second)):
            if table.size and not (table.min() >= 0 and table.max() < count):
                raise BadModel(f"{name} of a tree does not exist")
        children = np.concatenate((self.first[inner], self.second[inner]))
        parents = np.bincount(children, minlength=count)
        level, seen, steps = np.flatnonzero(parents == 0), 0, -1
        while level.size:
            seen, steps = seen + level.size, steps + 1
            below = level[inner[level]]
            below = np.concatenate((self.first[below], self.second[below]))
            np.subtract.at(parents, below, 1)
            level = np.unique(below[parents[below] == 0])
        if seen < count:
            raise BadModel("a node of a tree leads back to itself")
        return max(steps, 0)

    def add(self, c: NodeContext, rows: Value, targets: int, vote: Vote) -> Value:
        """The ensemble at work."""
        if self.target.size and not (self.target.min() >= 0 and self.target.max() < targets):
            raise BadModel(f"a leaf votes for target {self.target.max()} of {targets}")
        if self.feature.min(initial=0) < 0 or self.feature.max(initial=0) >= 1 << 31:
            raise BadModel("a node looks at a feature that does not exist")
        features = int(self.feature.max(initial=0)) + 1
        kind = rows.type.kind.dtype
        integers = (self.roots, self.feature, self.outcome, self.first, self.second, self.begin, self.target)
        roots, feature, outcome, first, second, begin, target = integers
        tables = (
            roots.astype(np.int32), feature.astype(np.int32), self.limit.astype(kind), outcome.astype(np.uint8),
            first.astype(np.int32), second.astype(np.int32), begin.astype(np.int32), target.astype(np.int32),
            self.weight.astype(kind),
        )  # fmt: skip
        op = TreeEnsemble(targets, features, self.depth, vote)
        return c.b.add(op, rows, *(c.constant(table) for table in tables))


def _same_length(**lists: Sequence[object] | Array) -> int:
    lengths = {name: len(items) for name, items in lists.items()}
    if len(set(lengths.values())) > 1:
        raise BadModel(f"lists differ in length: {', '.join(f'{name} {n}' for name, n in lengths.items())}")
    return next(iter(lengths.values()))


def _numbers(c: NodeContext, name: str) -> Array:
    """A list of numbers, which a tensor may hold so that they are exact."""
    given = c.attributes.tensor(f"{name}_as_tensor", None)
    return np.array(c.attributes.floats(name, ()), np.float32) if given is None else given.reshape(-1)


def _listed_forest(c: NodeContext, prefix: str) -> Forest:
    """Trees whose nodes are listed with the number of their tree and a number in it."""
    a = c.attributes
    trees, numbers = a.ints("nodes_treeids", ()), a.ints("nodes_nodeids", ())
    modes, limits = a.strings("nodes_modes", ()), _numbers(c, "nodes_values")
    features = a.ints("nodes_featureids", ())
    yes, no = a.ints("nodes_truenodeids", ()), a.ints("nodes_falsenodeids", ())
    missing = a.ints("nodes_missing_value_tracks_true", ()) or (0,) * len(trees)
    _numbers(c, "nodes_hitrates")  # how often a node was visited: of no use here
    count = _same_length(
        nodes_treeids=trees, nodes_nodeids=numbers, nodes_modes=modes, nodes_values=limits, nodes_featureids=features,
        nodes_truenodeids=yes, nodes_falsenodeids=no, nodes_missing_value_tracks_true=missing,
    )  # fmt: skip
    places = {key: place for place, key in enumerate(zip(trees, numbers, strict=True))}
    if len(places) < count:
        raise BadModel("two nodes of a tree have the same number")
    if unknown := sorted({*modes} - {*_OUTCOMES, "LEAF"}):
        raise Unsupported(f"the mode {unknown[0]!r} of a node is not supported")
    try:
        children = [
            (place, place) if mode == "LEAF" else (places[tree, yes[place]], places[tree, no[place]])
            for place, (tree, mode) in enumerate(zip(trees, modes, strict=True))
        ]
        leaves = zip(a.ints(f"{prefix}_treeids", ()), a.ints(f"{prefix}_nodeids", ()), strict=True)
        where = np.array([places[leaf] for leaf in leaves], np.int64)
    except (KeyError, ValueError) as error:
        raise BadModel(f"a node or a leaf does not exist, or lists differ in length: {error}") from None
    first, second = np.array(children, np.int64).reshape(-1, 2).T
    is_leaf = np.array([mode == "LEAF" for mode in modes], bool)
    outcome = [0 if mode == "LEAF" else _OUTCOMES[mode] | (_UNORDERED if nan else 0)
               for mode, nan in zip(modes, missing, strict=True)]  # fmt: skip
    is_child = np.zeros(count, bool)
    is_child[np.concatenate((first[~is_leaf], second[~is_leaf]))] = True
    ids, weights = np.array(a.ints(f"{prefix}_ids", ()), np.int64), _numbers(c, f"{prefix}_weights")
    _same_length(**{f"{prefix}_ids": ids, f"{prefix}_weights": weights, f"{prefix}_nodeids": where})
    if not is_leaf[where].all():
        raise BadModel("a node that is no leaf has a weight")
    order = np.argsort(where, kind="stable")
    begin = np.searchsorted(where[order], np.arange(count + 1))
    feature = np.where(is_leaf, 0, np.array(features, np.int64))
    roots = np.flatnonzero(~is_child)
    return Forest(roots, feature, limits, np.array(outcome), first, second, begin, ids[order], weights[order])


def _base(c: NodeContext, scores: Value, values: Array) -> Value:
    if not values.size:
        return scores
    if values.size not in (1, scores.type.shape[1]):
        raise BadModel(f"there are {values.size} base values for {scores.type.shape[1]} targets")
    return c.b.add(Add(), scores, c.constant(values.astype(scores.type.kind.dtype)))


def _voted(c: NodeContext, forest: Forest, rows: Value, targets: int, aggregate: Aggregate) -> Value:
    if targets < 1:
        raise BadModel(f"there are {targets} targets")
    vote = Vote.SUM if aggregate is Aggregate.AVERAGE else Vote[aggregate.value]
    scores = forest.add(c, rows, targets, vote)
    if aggregate is Aggregate.AVERAGE:
        scores = c.b.add(Div(), scores, number(c, max(1, len(forest.roots)), scores))
    return scores


def load_tree_ensemble_regressor(c: NodeContext) -> Value:
    forest = _listed_forest(c, "target")
    aggregate = c.attributes.choice("aggregate_function", Aggregate, Aggregate.SUM)
    rows = rows_of_features(c, Kind.F32, Kind.F64)
    scores = _voted(c, forest, rows, c.attributes.int("n_targets", 1), aggregate)
    scores = as_kind(c, _base(c, scores, _numbers(c, "base_values")), Kind.F32)
    return transformed(c, scores, post_transform(c))


def load_tree_ensemble_classifier(c: NodeContext) -> tuple[Value, Value]:
    """With weights for the first of two classes only, these are those of the second one, and its own are derived.

    (The standard leaves this open; it is what converters of gradient boosting rely on.)
    """
    forest, how = _listed_forest(c, "class"), post_transform(c)
    labels, bases = class_labels(c, "classlabels_int64s"), _numbers(c, "base_values")
    if len(labels) == 1:
        raise Unsupported("a classifier of one class is not supported")
    rows = rows_of_features(c, Kind.F32, Kind.F64)
    if len(labels) > 2 or len(set(forest.target.tolist())) > 1:
        scores = _base(c, as_kind(c, _voted(c, forest, rows, len(labels), Aggregate.SUM), Kind.F32), bases)
        return best(c, labels, scores), transformed(c, scores, how)
    (only,) = set(forest.target.tolist()) or {0}
    one = Forest(**{**vars(forest), "target": np.zeros_like(forest.target)})
    score = _base(c, as_kind(c, _voted(c, one, rows, 1, Aggregate.SUM), Kind.F32), bases[-1:])
    is_probability = bool((forest.weight >= 0).all())
    limit = number(c, 0.5 if is_probability else 0.0, score)
    is_second = c.b.add(Reshape(score.type.shape[:1]), c.b.add(Less(), limit, score))
    if only:
        other = c.b.add(Splat(0, Kind.F32, score.type.shape))
    elif is_probability and how is PostTransform.NONE:
        other = c.b.add(Sub(), number(c, 1, score), score)
    else:
        other = c.b.add(Neg(), score)
    label = named(c, labels, c.b.add(Cast(Kind.I64), is_second))
    return label, transformed(c, c.b.add(Concat(1), other, score), how)


def load_tree_ensemble_5(c: NodeContext) -> Value:
    """Trees whose leaves have a list of their own; a node that asks for a set becomes one for each member."""
    a, rows = c.attributes, rows_of_features(c, Kind.F32, Kind.F64)
    roots = np.array(a.ints("tree_roots"), np.int64)
    features, splits = np.array(a.ints("nodes_featureids"), np.int64), a.tensor("nodes_splits").reshape(-1)
    modes = a.tensor("nodes_modes").reshape(-1)
    yes, no = (np.array(a.ints(f"nodes_{way}nodeids"), np.int64) for way in ("true", "false"))
    is_leaf = [np.array(a.ints(f"nodes_{way}leafs"), bool) for way in ("true", "false")]
    missing = np.array(a.ints("nodes_missing_value_tracks_true", ()) or (0,) * len(features), bool)
    hitrates = a.tensor("nodes_hitrates", None)
    target, weight = np.array(a.ints("leaf_targetids"), np.int64), a.tensor("leaf_weights").reshape(-1)
    count = _same_length(
        nodes_featureids=features, nodes_splits=splits, nodes_modes=modes, nodes_truenodeids=yes,
        nodes_falsenodeids=no, nodes_trueleafs=is_leaf[0], nodes_falseleafs=is_leaf[1], missing=missing,
        nodes_hitrates=features if hitrates is None else hitrates.reshape(-1),
    )  # fmt: skip
    leaves = _same_length(leaf_targetids=target, leaf_weights=weight)
    if count and not (modes.min() >= 0 and modes.max() < len(_MODES)):
        raise BadModel("a node has a mode that does not exist")
    for ids, leaf in zip((yes, no), is_leaf, strict=True):
        most = np.where(leaf, leaves, count)
        if not ((ids >= 0) & (ids < most)).all():
            raise BadModel("a child of a node does not exist")
    if roots.size and not (roots.min() >= 0 and roots.max() < count):
        raise BadModel("a root of a tree does not exist")
    sets = _sets(a.tensor("membership_values", None), int((modes == _MODES.index("BRANCH_MEMBER")).sum()))
    nodes = _Nodes([], [], [], [], [], [])
    for n in range(count):
        nodes.add(n, features[n], splits[n], _MODES[modes[n]], bool(missing[n]), sets)
    start = np.array(nodes.start, np.int64)
    total = len(nodes.feature)

    def child(ids: Array, leaf: Array) -> Array:
        return np.where(leaf, total + ids, start[np.where(leaf, 0, ids)]) if count else ids

    first, second = child(yes, is_leaf[0])[nodes.of], child(no, is_leaf[1])[nodes.of]
    following = np.array(nodes.following, bool)
    second = np.where(following, np.arange(total) + 1, second)
    own = total + np.arange(leaves)
    forest = Forest(
        start[roots],
        np.concatenate((nodes.feature, np.zeros(leaves, np.int64))).astype(np.int64),
        np.concatenate((nodes.limit, np.zeros(leaves))),
        np.concatenate((nodes.outcome, np.zeros(leaves, np.int64))).astype(np.int64),
        np.concatenate((first, own)).astype(np.int64),
        np.concatenate((second, own)).astype(np.int64),
        np.concatenate((np.zeros(total, np.int64), np.arange(leaves + 1))),
        target,
        weight,
    )
    code = a.int("aggregate_function", 1)
    if not 0 <= code < len(_AGGREGATES):
        raise BadModel(f"there is no aggregate function {code}")
    scores = _voted(c, forest, rows, a.int("n_targets"), _AGGREGATES[code])
    code = a.int("post_transform", 0)
    if not 0 <= code < len(PostTransform):
        raise BadModel(f"there is no post-transform {code}")
    return as_kind(c, transformed(c, scores, list(PostTransform)[code]), c.type(0).kind)


@dataclass(frozen=True)
class _Nodes:
    """Nodes of which those that ask for a set are several, each asking for one member."""

    start: list[int]
    of: list[int]
    feature: list[int]
    limit: list[float]
    outcome: list[int]
    following: list[bool]
    """Whether the second child is the node behind."""

    def add(self, n: int, feature: int, limit: float, mode: str, nan: bool, sets: list[Array]) -> None:
        """Put a node behind the others."""
        self.start.append(len(self.of))
        members = sets.pop(0).tolist() if mode == "BRANCH_MEMBER" else [limit]
        outcome = _OUTCOMES["BRANCH_EQ" if mode == "BRANCH_MEMBER" else mode]
        for place, member in enumerate(members):
            self.of.append(n)
            self.feature.append(feature)
            self.limit.append(member)
            self.outcome.append(outcome | (_UNORDERED if nan else 0))
            self.following.append(place + 1 < len(members))


def _sets(values: Array | None, count: int) -> list[Array]:
    """The sets that nodes ask for, NaN between them."""
    values = np.zeros(0) if values is None else values.reshape(-1)
    ends = np.flatnonzero(np.isnan(values))
    sets = [part[~np.isnan(part)] for part in np.split(values, ends)]
    sets = sets[:count] if len(sets) == count + 1 and not sets[-1].size else sets
    if not count:
        return []
    if len(sets) != count or not all(part.size for part in sets):
        raise TypeMismatch(f"{len(sets)} sets of members for {count} nodes that ask for one")
    return sets


LOADERS: Table = {
    ("TreeEnsemble", 5): load_tree_ensemble_5,
    ("TreeEnsembleClassifier", 1): load_tree_ensemble_classifier,
    ("TreeEnsembleRegressor", 1): load_tree_ensemble_regressor,
}
