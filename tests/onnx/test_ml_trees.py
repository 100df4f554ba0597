"""Ensembles of decision trees of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ml_cases import agree_with_reference, agree_with_runtime, ml_model
from onnx import numpy_helper

from glowpy.onnx.model import import_model
from glowpy.onnx_backend import prepare
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(4)
X = RNG.integers(-2, 3, (11, 4)).astype(np.float32)
X[3, 1] = X[5, 0] = np.nan
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def forest(
    prefix: str, targets: int, trees: int = 5, modes: list[str] = MODES, positive: bool = False, only: int | None = None
) -> dict[str, Any]:
    """The attributes of random trees."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    names = (*names, "missing_value_tracks_true")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in names}
    leaves: dict[str, list[Any]] = {f"{prefix}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}

    def grow(tree: int, level: int) -> int:
        number = sum(t == tree for t in nodes["nodes_treeids"])
        is_leaf = level == 4 or (level and RNG.random() < 0.2)
        place = len(nodes["nodes_modes"])
        row = (tree, number, int(RNG.integers(4)), "LEAF" if is_leaf else str(RNG.choice(modes)))
        row = (*row, float(RNG.integers(-2, 2)), 0, 0, int(RNG.integers(2)))
        for name, item in zip(nodes, row, strict=True):
            nodes[name].append(item)
        if is_leaf:
            for target in RNG.permutation(targets)[: RNG.integers(1, targets + 1)] if only is None else [only]:
                weight = RNG.random() / trees if positive else RNG.standard_normal()
                for name, item in zip(leaves, (tree, number, int(target), float(np.float32(weight))), strict=True):
                    leaves[name].append(item)
        else:
            nodes["nodes_truenodeids"][place] = grow(tree, level + 1)
            nodes["nodes_falsenodeids"][place] = grow(tree, level + 1)
        return number

    for tree in range(trees):
        grow(tree, 0)
    return nodes | leaves


@pytest.mark.parametrize(
    ("aggregate", "bases"), [("SUM", False), ("SUM", True), ("AVERAGE", True), ("MIN", False), ("MAX", False)]
)
@pytest.mark.parametrize("targets", [1, 3])
def test_regressor(targets: int, aggregate: str, bases: bool) -> None:
    attributes = forest("target", targets) | ({"base_values": [0.5, -1.0, 2.0][:targets]} if bases else {})
    agree_with_runtime(
        "TreeEnsembleRegressor", {"x": X}, 1, n_targets=targets, aggregate_function=aggregate, **attributes
    )


def test_regressor_of_integers_and_of_doubles() -> None:
    """ONNX Runtime has no such kernels."""
    attributes = forest("target", 2, modes=["BRANCH_LEQ"])
    results = [
        prepare(ml_model("TreeEnsembleRegressor", {"x": x}, 1, n_targets=2, **attributes)).run([x])[0]
        for x in (np.nan_to_num(X).astype(dtype) for dtype in (np.float32, np.int64, np.int32, np.float64))
    ]
    for result in results:
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, results[0], 1e-6, 1e-6)


@pytest.mark.parametrize("how", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("positive", [False, True])
def test_classifier(classes: int, positive: bool, how: str) -> None:
    """Of two classes with scores of their own, ONNX Runtime does not take the better one."""
    labels = {"classlabels_int64s": [5, 2, 9][:classes]}
    attributes = forest("class", classes, positive=positive)
    agree = agree_with_runtime if classes > 2 else agree_with_reference
    x = {"x": X if classes > 2 else np.nan_to_num(X)}
    agree("TreeEnsembleClassifier", x, 1, 2, post_transform=how, **labels, **attributes)


@pytest.mark.parametrize(("only", "how"), [(0, "NONE"), (0, "LOGISTIC"), (1, "NONE"), (1, "LOGISTIC"), (1, "SOFTMAX")])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("texts", [False, True])
def test_classifier_with_scores_of_one_of_two_classes(texts: bool, positive: bool, only: int, how: str) -> None:
    labels = {"classlabels_strings": ["a", "b"]} if texts else {"classlabels_int64s": [4, 8]}
    attributes = forest("class", 2, positive=positive, only=only) | ({} if only else {"base_values": [0.25]})
    agree_with_runtime("TreeEnsembleClassifier", {"x": X}, 1, 2, post_transform=how, **labels, **attributes)


def newer(aggregate: int, **changed: Any) -> dict[str, Any]:
    """Trees as version 5 has them: one of two nodes, and one that asks for sets."""
    tensors = {
        "nodes_splits": np.array([0.5, -1, 1, 0], np.float32),
        "nodes_modes": np.array([0, 3, 6, 6], np.uint8),
        "membership_values": np.array([1, 2, np.nan, -2, 0, 2, np.nan], np.float32),
        "leaf_weights": np.array([1, 10, 100, -1, -10, 1000], np.float32),
    }
    lists = {
        "tree_roots": [0, 2], "nodes_featureids": [0, 1, 2, 3], "nodes_truenodeids": [1, 0, 3, 2],
        "nodes_falsenodeids": [2, 1, 5, 4], "nodes_trueleafs": [0, 1, 0, 1], "nodes_falseleafs": [1, 1, 1, 1],
        "nodes_missing_value_tracks_true": [1, 0, 1, 0], "leaf_targetids": [0, 1, 0, 1, 1, 0],
    }  # fmt: skip
    lists["nodes_truenodeids"] = [1, 0, 3, 3]
    made = {name: numpy_helper.from_array(array, name) for name, array in tensors.items()}
    return {**made, **lists, "n_targets": 2, "aggregate_function": aggregate, **changed}


@pytest.mark.parametrize("aggregate", [1, 2, 3])
def test_sets_of_members(aggregate: int) -> None:
    agree_with_runtime("TreeEnsemble", {"x": X}, 5, **newer(aggregate))


def test_transforms_have_the_numbers_of_the_standard() -> None:
    """ONNX Runtime has others."""
    scores, softmax, logistic = (
        prepare(ml_model("TreeEnsemble", {"x": X}, 5, **newer(3, post_transform=how))).run([X])[0] for how in range(3)
    )
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(logistic, 1 / (1 + np.exp(-scores)), 1e-5, 1e-7)
    np.testing.assert_allclose(softmax.sum(1), 1, 1e-5)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"nodes_truenodeids": [1, 0, 3, 9]}, "child of a node does not exist"),
    ({"nodes_truenodeids": [1, 0, 2, 3]}, "back to itself"),
    ({"tree_roots": [0, 7]}, "root of a tree does not exist"),
    ({"leaf_targetids": [0, 1, 0, 1, 1, 2]}, "target 2 of 2"),
    ({"leaf_targetids": [0, 1]}, "differ in length"),
    ({"nodes_featureids": [0, 1, 2, 4]}, "look at 5 features"),
    ({"nodes_featureids": [0, 1, 2, -4]}, "feature"),
    ({"n_targets": 0}, "0 targets"),
    ({"n_targets": 1 << 50}, "GiB"),
    ({"aggregate_function": 9}, "aggregate"),
    ({"post_transform": 5}, "post-transform"),
    ({"membership_values": numpy_helper.from_array(np.array([1, np.nan], np.float32))}, "sets of members"),
    ({"nodes_modes": numpy_helper.from_array(np.array([0, 3, 7, 6], np.uint8))}, "mode"),
]


@pytest.mark.parametrize(("changed", "message"), FAULTS)
def test_fault_is_told(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Findings, match=message):
        import_model(ml_model("TreeEnsemble", {"x": X}, 5, **newer(1, **changed)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nodes_nodeids": [0, 0, 2]}, "same number"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF", "TWIG"]}, "TWIG"),
        ({"nodes_truenodeids": [3, 0, 0]}, "does not exist"),
        ({"nodes_truenodeids": [0, 0, 0]}, "back to itself"),
        ({"target_nodeids": [0, 2]}, "no leaf"),
        ({"target_weights": [1.0]}, "differ in length"),
        ({"base_values": [1.0, 2.0]}, "base values"),
    ],
)
def test_fault_of_listed_trees_is_told(changed: dict[str, Any], message: str) -> None:
    tree = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.0] * 3, "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        "target_weights": [1.0, 2.0], "n_targets": 1,
    }  # fmt: skip
    import_model(ml_model("TreeEnsembleRegressor", {"x": X}, 1, **tree))
    with pytest.raises(Findings, match=message):
        import_model(ml_model("TreeEnsembleRegressor", {"x": X}, 1, **(tree | changed)))


def test_a_matrix_is_needed() -> None:
    x: Array = X.reshape(11, 2, 2)
    with pytest.raises(Findings, match="rows of features"):
        import_model(ml_model("TreeEnsemble", {"x": x}, 5, **newer(1)))
