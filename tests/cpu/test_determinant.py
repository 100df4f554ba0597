"""Compiled determinants are those of NumPy, of singular and awkward matrices too."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.whole import agree

from glowpy_ir.ops.determinant import Determinant

RNG = np.random.default_rng(6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 3), (1, 1), (4, 0, 0), (5, 2, 7, 7), (0, 2, 2), (17, 17)])
def test_determinant(shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    agree(Determinant(), RNG.standard_normal(shape).astype(dtype))


def test_pivots_that_are_zero() -> None:
    one = np.eye(4)
    rows = [one[[1, 0, 3, 2]], one[[1, 2, 3, 0]], 0 * one, 0 * one + 1, np.triu(one + 1)]
    agree(Determinant(), np.stack(rows))
