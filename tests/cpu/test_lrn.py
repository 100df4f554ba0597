"""Local response normalisation on blocks, against the operator's definition."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, block_channels, run, unblock_channels

from glowpy_backends.cpu.kernels.lrn import fits, lrn
from glowpy_backends.cpu.target import Target
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.normalization import Lrn


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    "op",
    [Lrn(1), Lrn(2, 0.5, 0.5), Lrn(3, 2.0, 0.75, 0.5), Lrn(4, 0.1, 1.0, 2.0), Lrn(5, 1.0, 0.3), Lrn(9, 1.0, 1.25)],
    ids=str,
)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 3), (2, 2, 17)], ids=str)
def test_windows(shape: tuple[int, int, int], op: Lrn, target: Target) -> None:
    blocks, height, width = shape
    lanes = target.lanes(4)
    assert fits(op, lanes) == (op.size // 2 <= lanes)
    if not fits(op, lanes):
        return
    x = (np.random.default_rng(0).standard_normal((2, blocks * lanes, height, width)) * 3).astype(np.float32)
    (expected,) = apply(op, x)
    stored = block_channels(x, lanes)
    image = Operand(stored, [(0, 0), (0, 0), (1, 0), (0, 2), (0, 0)], fill=np.nan)
    y = Operand(np.full_like(stored, np.nan), [(0, 0), (0, 0), (0, 1), (1, 1), (0, 0)], fill=7)
    run(lrn(op, y.view, image.view, target), target, [y, image], calls=3)
    np.testing.assert_allclose(unblock_channels(y.array, x.shape[1]), expected, rtol=2e-5, atol=1e-6)
    assert y.margin_is(7)


def test_windows_that_reach_too_far_do_not_fit() -> None:
    assert fits(Lrn(33), 16)
    assert not fits(Lrn(34), 16)
    assert not fits(Lrn(35), 16)
