"""What machine learning adds: dictionaries, scores and trees; open dimensions and faults."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.lookup import FindKey, IsKey, LookUp
from glowpy_ir.ops.scores import CouplePairs, Probit, SoftmaxOfNonZero
from glowpy_ir.ops.trees import TreeEnsemble
from glowpy_ir.types import TensorType

TABLES = ("i32[t]", "i32[n]", "f32[n]", "u8[n]", "i32[n]", "i32[n]", "i32[n+1]", "i32[w]", "f32[w]")


def types(*texts: str) -> tuple[TensorType, ...]:
    return tuple(TensorType.parse(text) for text in texts)


OPEN: list[tuple[Op, tuple[str, ...], str]] = [
    (IsKey(), ("i64[a,b]", "i64[k]"), "bool[a,b,k]"),
    (LookUp(), ("string[a]", "string[k]", "f32[k]", "f32[]"), "f32[a]"),
    (FindKey(), ("f32[a,b]", "f32[k]"), "i64[a,b]"),
    (SoftmaxOfNonZero(), ("f32[n,3]",), "f32[n,3]"),
    (Probit(), ("f32[n,3]",), "f32[n,3]"),
    (CouplePairs(4), ("f32[n,6]",), "f32[n,4]"),
    (TreeEnsemble(2, 3, 4), ("f32[r,3]", *TABLES), "f32[r,2]"),
]


@pytest.mark.parametrize(("op", "operands", "result"), OPEN, ids=lambda item: getattr(item, "name", ""))
def test_open_dimensions_go_through(op: Op, operands: tuple[str, ...], result: str) -> None:
    assert tuple(map(str, infer(op, *types(*operands)))) == (result,)


def test_texts_are_found() -> None:
    keys = np.array(["a", "b", "d"], object)
    (found,) = apply(FindKey(), np.array([["b", "c"], ["", "d"]], object), keys)
    np.testing.assert_array_equal(found, [[1, -1], [-1, 2]])


def test_probit_is_the_inverse_of_the_normal_distribution() -> None:
    points = np.array([-3, -2, -1, -0.5, 0.5, 1, 2, 3])
    shares = np.array([0.001350, 0.022750, 0.158655, 0.308538, 0.691462, 0.841345, 0.977250, 0.998650])
    (found,) = apply(Probit(), shares)
    np.testing.assert_allclose(found, points, 5e-3)


def test_softmax_leaves_zeros() -> None:
    (found,) = apply(SoftmaxOfNonZero(), np.array([[0, 1, 1], [0, 0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [0.5, 0.5, 0.5]], 1e-6)


def test_coupled_pairs_of_what_is_consistent() -> None:
    """From pairs of probabilities that come of one distribution, that distribution comes back."""
    chances = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])
    pairs = np.stack([chances[:, i] / (chances[:, i] + chances[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))], 1)
    (found,) = apply(CouplePairs(3), pairs)
    np.testing.assert_allclose(found, chances, atol=5e-3)


FAULTS: list[tuple[Op, tuple[str, ...], str]] = [
    (IsKey(), ("i64[3]", "i32[2]"), "same kind"),
    (LookUp(), ("i64[3]", "i64[2]", "f32[3]", "f32[]"), "not as many"),
    (FindKey(), ("f32[a]", "f32[0]"), "a key at least"),
    (FindKey(), ("bool[a]", "bool[2]"), "takes elements"),
    (CouplePairs(3), ("f32[4,2]",), "pairs"),
    (TreeEnsemble(0, 3, 4), ("f32[r,3]", *TABLES), "0 targets"),
    (TreeEnsemble(2, 0, 4), ("f32[r,3]", *TABLES), "0 features"),
    (TreeEnsemble(2, 4, 4), ("f32[r,3]", *TABLES), "look at 4 features"),
    (TreeEnsemble(2, 3, 4), ("i32[r,3]", *TABLES), "takes f32 or f64"),
    (TreeEnsemble(2, 3, 4), ("f64[r,3]", *TABLES), "do not fit"),
]


@pytest.mark.parametrize(("op", "operands", "message"), FAULTS)
def test_fault_is_told(op: Op, operands: tuple[str, ...], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *types(*operands))
