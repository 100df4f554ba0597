"""Compiled Fourier transforms compute what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cpu.whole import agree

from glowpy_ir.ops.spectral import Dft, ShortTimeDft

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("length", [1, 31, 257, 520, 1031])
def test_dft(length: int, parts: int, tmp_path: Path) -> None:
    x = RNG.standard_normal((2, length, 3, parts)).astype(np.float32)
    for inverse, onesided in ((False, False), (False, True), (True, False)):
        agree(Dft(1, length, inverse, onesided), x, cache=tmp_path)
    agree(Dft(1, length, True, True), x[:, : length // 2 + 1], cache=tmp_path)


@pytest.mark.parametrize("known", [(), (1,)])
@pytest.mark.parametrize("length", [16, 99, 600])
def test_short_time_dft(length: int, known: tuple[int, ...]) -> None:
    x = RNG.standard_normal((2, 1501, 1)).astype(np.float32)
    agree(ShortTimeDft(length, 37), x, np.hanning(length).astype(np.float32), known=known)
