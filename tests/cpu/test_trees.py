"""The kernels for ensembles of trees and for pairs of classes do what the operators mean."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, Operand, run

from glowpy_backends.cpu.kernels.coupling import couple_pairs
from glowpy_backends.cpu.kernels.trees import tree_ensemble
from glowpy_ir.errors import UsageError
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.scores import CouplePairs
from glowpy_ir.ops.trees import TreeEnsemble, Vote
from glowpy_ir.types import Array, Kind

RNG = np.random.default_rng(11)


def random_trees(trees: int, depth: int, features: int, targets: int, kind: Kind) -> list[Array]:
    """Tables of trees, each of whose nodes is a leaf or has two children further on."""
    rows: list[tuple[int, int, int, int, int]] = []  # feature, outcome, first, second, how many weights

    def grow(level: int) -> int:
        number = len(rows)
        rows.append((0, 0, number, number, int(RNG.integers(0, 4))))
        if level < depth and RNG.random() < 0.8:
            first, second = grow(level + 1), grow(level + 1)
            rows[number] = (int(RNG.integers(features)), int(RNG.integers(16)), first, second, 0)
        return number

    roots = [grow(0) for _ in range(trees)]
    feature, outcome, first, second, counts = np.array(rows, np.int64).T
    weights = int(counts.sum())
    return [
        np.array(roots, np.int32),
        feature.astype(np.int32),
        RNG.integers(-2, 3, len(rows)).astype(kind.dtype),
        outcome.astype(np.uint8),
        first.astype(np.int32),
        second.astype(np.int32),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int32),
        RNG.integers(0, targets, weights).astype(np.int32),
        RNG.standard_normal(weights).astype(kind.dtype),
    ]


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64], ids=str)
@pytest.mark.parametrize("vote", Vote)
@pytest.mark.parametrize(("rows", "trees", "depth"), [(1, 1, 0), (5, 3, 1), (37, 11, 6), (0, 2, 2)])
def test_trees(rows: int, trees: int, depth: int, vote: Vote, kind: Kind) -> None:
    x = RNG.integers(-2, 3, (rows, 7)).astype(kind.dtype)
    x[:: 5, 2] = np.nan
    tables = random_trees(trees, depth, 7, 4, kind)
    op = TreeEnsemble(4, 7, depth, vote)
    (expected,) = apply(op, x, *tables)
    operands = [Operand(x, [(1, 2), (0, 3)]), *map(Operand, tables)]
    result = Operand(np.ones_like(expected), [(0, 1), (2, 0)], fill=5)
    kernel = tree_ensemble(op, result.view, [operand.view for operand in operands], TARGETS[0])
    run(kernel, TARGETS[0], [result, *operands], calls=3)
    np.testing.assert_array_equal(result.array, expected)
    assert result.margin_is(5)


def test_numbers_out_of_range_lead_nowhere_else() -> None:
    """Nothing outside of the tables is read, and nothing outside of the result written."""
    x = RNG.standard_normal((9, 3)).astype(np.float32)
    tables = random_trees(5, 3, 3, 4, Kind.F32)
    op = TreeEnsemble(4, 3, 3)
    result = Operand(np.ones((9, 4), np.float32), [(1, 1), (1, 1)], fill=5)
    for table in (0, 1, 4, 5, 6, 7):
        for wrong in (-1, 1 << 30, -(1 << 31)):
            broken = [array.copy() for array in tables]
            broken[table][...] = wrong
            with pytest.raises(UsageError, match="out of range"):
                apply(op, x, *broken)
            operands = [Operand(array) for array in (x, *broken)]
            kernel = tree_ensemble(op, result.view, [operand.view for operand in operands], TARGETS[0])
            run(kernel, TARGETS[0], [result, *operands])
            assert result.margin_is(5)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64, Kind.F16], ids=str)
@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (13, 3), (5, 7), (0, 3)])
def test_coupled_pairs(rows: int, classes: int, kind: Kind) -> None:
    op = CouplePairs(classes)
    x = RNG.random((rows, classes * (classes - 1) // 2)).astype(kind.dtype)
    x[: rows // 2] = np.round(x[: rows // 2])
    (expected,) = apply(op, x)
    operand, result = Operand(x, [(1, 2), (0, 3)]), Operand(np.ones_like(expected), [(0, 1), (2, 0)], fill=5)
    run(couple_pairs(op, result.view, operand.view, TARGETS[0]), TARGETS[0], [result, operand], calls=2)
    np.testing.assert_allclose(result.array.astype(np.float64), expected.astype(np.float64), 2e-3, 1e-6)
    assert result.margin_is(5)
