"""Memory for native code."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_backends.cpu.memory import ALIGNMENT, HUGE_PAGE, address_of, aligned
from glowpy_ir.types import Array

X = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("array", [X, X[1:], X[:, ::2], X.T, np.asarray(np.float32(3)), np.empty((0, 3)), X[::-1]])
def test_the_address_is_that_of_the_first_element(array: Array) -> None:
    assert address_of(array) == array.ctypes.data


@pytest.mark.parametrize("size", [0, 1, 100, 5 * HUGE_PAGE])
def test_blocks_are_zero_and_aligned(size: int) -> None:
    block = aligned(size)
    assert block.nbytes == size
    assert size == 0 or address_of(block) % ALIGNMENT == 0
    assert not block.any()
