"""Depthwise convolution against the definition of convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Array, Operand, block_channels, run, unblock_channels
from cpu.test_convolution import Case, reference, residual_relu

from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.convolution import Convolution, halo
from glowpy_backends.cpu.kernels.depthwise import depthwise, is_depthwise, pack_weights
from glowpy_backends.cpu.target import Target


def check(case: Case, target: Target, fused: bool) -> None:
    rng = np.random.default_rng(1)
    lanes = target.lanes(4)
    channels = case.image[1]
    case = replace(case, groups=channels, out_channels=channels)
    x = rng.standard_normal(case.image).astype(np.float32)
    w = rng.standard_normal((channels, 1, *case.kernel)).astype(np.float32)
    expected = reference(x, w, case)
    n, _, oh, ow = expected.shape
    shape = (n, -(-channels // lanes), oh, ow, lanes)
    y = Operand(np.full(shape, np.nan, np.float32), [(0, 0), (0, 0), (1, 2), (2, 1), (0, 0)], fill=7)
    stored = block_channels(x, lanes, np.nan)
    spec = Convolution(
        Operand(stored).view, y.view, channels, channels, case.kernel,
        case.strides, case.dilations, case.pads[:2], channels,
    )  # fmt: skip
    assert is_depthwise(spec)
    top, left, bottom, right = halo(spec)
    image = Operand(stored, [(0, 0), (0, 0), (top, bottom), (left, right), (0, 0)])
    extra: list[Operand] = []
    epilogue = Epilogue()
    if fused:
        bias = rng.standard_normal(channels).astype(np.float32)
        residual = rng.standard_normal(expected.shape).astype(np.float32)
        expected = np.maximum(expected + bias[:, None, None] + residual, 0)
        extra = [Operand(block_channels(bias[None, :, None, None], lanes)), Operand(block_channels(residual, lanes))]
        epilogue = Epilogue((extra[1].view,), residual_relu, extra[0].broadcast(shape))
    spec = replace(spec, image=image.view, epilogue=epilogue)
    operands: list[Operand | Array] = [y, image, pack_weights(w, spec), *extra]
    run(depthwise(spec, target), target, operands, calls=3)
    np.testing.assert_allclose(unblock_channels(y.array, channels), expected, rtol=1e-4, atol=1e-4)
    assert y.margin_is(7)


CASES = [
    Case((1, 32, 14, 14), 0, pads=(1, 1, 1, 1)),
    Case((3, 19, 13, 11), 0, strides=(2, 2), pads=(1, 1, 1, 1)),
    Case((1, 5, 7, 23), 0, kernel=(5, 3), dilations=(1, 2), pads=(2, 1, 1, 0)),
    Case((1, 1, 1, 1), 0, kernel=(1, 1)),
    Case((2, 17, 9, 8), 0, kernel=(7, 8), strides=(1, 3), pads=(3, 3, 3, 3)),
    Case((1, 16, 1, 130), 0, kernel=(1, 51), pads=(0, 25, 0, 25)),
    Case((1, 3, 37, 5), 0, kernel=(4, 1), strides=(3, 1), pads=(0, 0, 3, 0)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("fused", [False, True])
def test_shapes(case: Case, target: Target, fused: bool) -> None:
    check(case, target, fused)
