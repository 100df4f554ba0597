"""Winograd convolution against the definition of convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, Operand, block_channels, run, unblock_channels
from cpu.test_convolution import Case, reference, residual_relu

from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.kernels.winograd import Winograd, halo, pack_weights, tile_size, tiling_of, winograd
from glowpy_backends.cpu.target import Target


def check(case: Case, m: int, target: Target, fused: bool = False, calls: int = 3) -> None:
    rng = np.random.default_rng(m)
    lanes = target.lanes(4)
    x = rng.standard_normal(case.image).astype(np.float32)
    w = rng.standard_normal((case.out_channels, case.image[1], 3, 3)).astype(np.float32)
    expected = reference(x, w, case)
    n, _, oh, ow = expected.shape
    shape = (n, -(-case.out_channels // lanes), oh, ow, lanes)
    y = Operand(np.full(shape, np.nan, np.float32), [(0, 0), (0, 0), (1, 2), (2, 1), (0, 0)], fill=7)
    stored = block_channels(x, lanes, np.nan)
    conv = Convolution(Operand(stored).view, y.view, case.image[1], case.out_channels, (3, 3), pads=case.pads[:2])
    top, left, bottom, right = halo(Winograd(conv, m))
    image = Operand(stored, [(0, 0), (0, 0), (top, bottom), (left, right), (0, 0)])
    extra: list[Operand] = []
    epilogue = Epilogue()
    if fused:
        bias = rng.standard_normal(case.out_channels).astype(np.float32)
        residual = rng.standard_normal(expected.shape).astype(np.float32)
        expected = np.maximum(expected + bias[:, None, None] + residual, 0)
        extra = [Operand(block_channels(bias[None, :, None, None], lanes)), Operand(block_channels(residual, lanes))]
        epilogue = Epilogue((extra[1].view,), residual_relu, extra[0].broadcast(shape))
    spec = Winograd(replace(conv, image=image.view, epilogue=epilogue), m)
    tiling = tiling_of(spec, target)
    operands: list[Operand | Array] = [y, image, pack_weights(w, spec, tiling), *extra]
    run(winograd(spec, tiling, target), target, operands, calls)
    got = unblock_channels(y.array, case.out_channels)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())
    assert y.margin_is(7)


CASES = [
    Case((1, 16, 14, 14), 16, pads=(1, 1, 1, 1)),
    Case((3, 35, 13, 17), 53, pads=(1, 1, 1, 1)),
    Case((1, 64, 7, 30), 80, pads=(0, 2, 1, 0)),
    Case((1, 1, 3, 3), 1),
    Case((1, 5, 5, 5), 3, pads=(2, 2, 2, 2)),
    Case((2, 17, 6, 239), 33, pads=(1, 1, 1, 1)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_shapes(case: Case, m: int, target: Target) -> None:
    check(case, m, target)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_bias_residual_and_relu(m: int, target: Target) -> None:
    check(CASES[1], m, target, fused=True)


@pytest.mark.parametrize("calls", [1, 2, 7])
def test_any_cut_of_the_units(calls: int) -> None:
    check(Case((2, 32, 29, 31), 96, pads=(1, 1, 1, 1)), 4, TARGETS[0], calls=calls)


def test_tile_size_follows_the_shape() -> None:
    def size(height: int, kernel: tuple[int, int] = (3, 3), stride: int = 1) -> int | None:
        view = Operand(np.zeros((1, 8, height, height, 16), np.float32)).view
        return tile_size(Convolution(view, view, 128, 128, kernel, (stride, stride), pads=(1, 1)))

    assert [size(7), size(14), size(56)] == [None, 2, 4]
    assert size(56, kernel=(5, 5)) is None
    assert size(56, stride=2) is None
