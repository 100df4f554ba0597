"""Direct convolution against a sum over taps in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, block_channels, run, unblock_channels
from numpy.typing import NDArray

from glowpy_backends.cpu.builder import Builder, Ssa, zero
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.convolution import Convolution, convolution, halo, pack_weights, tiling_of
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling
from glowpy_ir.types import Kind

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A convolution in the terms of its ONNX operator."""

    image: tuple[int, int, int, int]
    out_channels: int
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def reference(x: Array, w: Array, case: Case) -> Array:
    """Convolution as its definition says, in float64."""
    n, c, h, width = x.shape
    top, left, bottom, right = case.pads
    (kh, kw), (sh, sw), (dh, dw) = case.kernel, case.strides, case.dilations
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    oh = (h + top + bottom - dh * (kh - 1) - 1) // sh + 1
    ow = (width + left + right - dw * (kw - 1) - 1) // sw + 1
    g, o = case.groups, w.shape[0]
    grouped = w.astype(np.float64).reshape(g, o // g, c // g, kh, kw)
    y = np.zeros((n, g, o // g, oh, ow))
    for i in range(kh):
        for j in range(kw):
            part = padded[:, :, i * dh : i * dh + sh * (oh - 1) + 1 : sh, j * dw : j * dw + sw * (ow - 1) + 1 : sw]
            y += np.einsum("ngchw,goc->ngohw", part.reshape(n, g, c // g, oh, ow), grouped[..., i, j])
    return y.reshape(n, o, oh, ow)


def residual_relu(b: Builder, values: list[Ssa]) -> Ssa:
    total = b.op("fadd", values[0], values[1])
    return b.select(b.compare("ogt", total, zero(total.type)), total, zero(total.type))


def check(case: Case, target: Target, planar: bool = False, tiling: Tiling | None = None, fused: bool = False) -> None:
    rng = np.random.default_rng(abs(hash(case)) % 2**32)
    lanes = target.lanes(4)
    x = rng.standard_normal(case.image).astype(np.float32)
    w = rng.standard_normal((case.out_channels, case.image[1] // case.groups, *case.kernel)).astype(np.float32)
    expected = reference(x, w, case)
    n, _, oh, ow = expected.shape
    blocks = -(-case.out_channels // lanes)
    shape = (n, blocks, oh, ow, lanes)
    plain = replace(
        Convolution(Operand(x).view, Operand(x).view, case.image[1], case.out_channels, case.kernel),
        strides=case.strides, dilations=case.dilations, pads=case.pads[:2], groups=case.groups,
    )  # fmt: skip
    y = Operand(np.full(shape, np.nan, np.float32), [(0, 0), (0, 0), (1, 2), (2, 1), (0, 0)], fill=7)
    whole_groups = case.groups == 1 or case.image[1] // case.groups % lanes == 0
    garbage = np.nan if whole_groups else 3
    stored = x if planar else block_channels(x, lanes, garbage)
    spec = replace(plain, image=Operand(stored).view, result=y.view)
    top, left, bottom, right = halo(spec)
    margins = [(0, 0), (0, 0), (top, bottom + 1), (left, right + 2), (0, 0)][: stored.ndim]
    image = Operand(stored, margins)
    operands: list[Operand | Array] = [y, image]
    epilogue = Epilogue()
    if fused:
        bias = rng.standard_normal(case.out_channels).astype(np.float32)
        residual = rng.standard_normal(expected.shape).astype(np.float32)
        expected = np.maximum(expected + bias[:, None, None] + residual, 0)
        extra = [
            Operand(block_channels(bias[None, :, None, None], lanes)),
            Operand(block_channels(residual, lanes), [(0, 0), (0, 0), (0, 0), (1, 0), (0, 0)]),
        ]
        epilogue = Epilogue((extra[1].view,), residual_relu, extra[0].broadcast(shape))
        operands += extra
    spec = replace(spec, image=image.view, epilogue=epilogue)
    tiling = tiling or tiling_of(spec, target)
    packed = Operand(pack_weights(w, spec, tiling))
    operands.insert(2, packed)
    kernel = convolution(spec, tiling, target)
    run(kernel, target, operands, calls=3)
    got = unblock_channels(y.array, case.out_channels)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())
    padding = block_channels(np.zeros(expected.shape), lanes, fill=1) == 1
    assert fused or np.all(y.array[padding] == 0)
    assert y.margin_is(7)


CASES = [
    Case((1, 16, 7, 7), 16),
    Case((1, 32, 13, 11), 48, pads=(1, 1, 1, 1)),
    Case((3, 19, 5, 29), 37, pads=(0, 2, 1, 0)),
    Case((2, 7, 9, 10), 5, kernel=(1, 1)),
    Case((1, 64, 14, 14), 80, kernel=(1, 1)),
    Case((1, 33, 17, 8), 65, kernel=(5, 3), strides=(2, 3), pads=(2, 1, 1, 2)),
    Case((1, 17, 12, 13), 16, dilations=(2, 3), pads=(2, 3, 2, 3)),
    Case((1, 20, 1, 53), 33, kernel=(1, 7), strides=(1, 2), pads=(0, 3, 0, 3)),
    Case((1, 16, 31, 1), 16, kernel=(3, 1), pads=(1, 0, 1, 0)),
    Case((1, 1, 1, 1), 1, kernel=(1, 1)),
    Case((2, 64, 6, 5), 96, groups=2, pads=(1, 1, 1, 1)),
    Case((1, 24, 7, 6), 40, groups=8, pads=(1, 1, 1, 1)),
    Case((1, 60, 5, 9), 36, kernel=(1, 1), groups=3),
    Case((1, 6, 5, 9), 6, groups=6, pads=(1, 1, 1, 1)),
    Case((1, 5, 6, 7), 35, groups=5, strides=(2, 2)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_shapes(case: Case, target: Target) -> None:
    check(case, target)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("case", [CASES[2], CASES[5], CASES[11]], ids=str)
def test_bias_residual_and_relu(case: Case, target: Target) -> None:
    check(case, target, fused=True)


PLANAR = [
    Case((1, 3, 29, 31), 32, kernel=(7, 7), strides=(2, 2), pads=(3, 3, 3, 3)),
    Case((3, 1, 11, 13), 19, pads=(1, 1, 1, 1)),
    Case((1, 4, 9, 37), 8, kernel=(1, 11), dilations=(1, 2), pads=(0, 5, 0, 4)),
    Case((1, 6, 9, 8), 64, groups=2),
    Case((1, 6, 9, 8), 10, groups=2),
]


@pytest.mark.parametrize("case", PLANAR, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_planar_images(case: Case, target: Target) -> None:
    check(case, target, planar=True)
    check(case, target, planar=True, fused=True)


TILINGS = [
    Tiling(5, 2, 3, k_block=1, prefetch_right=True, prefetch_left=True),
    Tiling(4, 3, 4, k_block=2, unroll=16, prefetch_right=True),
    Tiling(13, 1, 9, unroll=3, prefetch_left=True),
    Tiling(1, 2, 1, unroll=1),
]


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_tilings(tiling: Tiling, target: Target) -> None:
    check(Case((2, 53, 7, 9), 70, pads=(1, 1, 1, 1)), target, tiling=tiling, fused=True)


def test_the_result_may_lie_on_an_epilogue_operand() -> None:
    target = TARGETS[0]
    lanes = target.lanes(4)
    rng = np.random.default_rng(0)
    case = Case((1, 64, 9, 9), 64, pads=(1, 1, 1, 1))
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (case.image, (64, 64, 3, 3)))
    old = rng.standard_normal((1, 64, 9, 9)).astype(np.float32)
    image = Operand(block_channels(x, lanes), [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    y = Operand(block_channels(old, lanes))
    spec = Convolution(image.view, y.view, 64, 64, (3, 3), pads=(1, 1), epilogue=Epilogue((y.view,), residual_relu))
    tiling = Tiling(6, 2, 9, k_block=1)
    run(convolution(spec, tiling, target), target, [y, image, Operand(pack_weights(w, spec, tiling)), y])
    expected = np.maximum(reference(x, w, case) + old, 0)
    np.testing.assert_allclose(unblock_channels(y.array, 64), expected, rtol=1e-4, atol=1e-3)


def test_equal_specifications_share_a_kernel() -> None:
    target = TARGETS[0]
    view = Operand(np.zeros((1, 2, 9, 9, target.lanes(4)), np.float32)).view
    spec = Convolution(view, view, 2 * target.lanes(4), 2 * target.lanes(4), (1, 1))
    first, second = (convolution(spec, tiling_of(spec, target), target) for _ in range(2))
    assert first == second
    assert first.symbol != convolution(replace(spec, kernel=(3, 3), pads=(1, 1)), Tiling(4, 2, 9), target).symbol
    assert spec.image.kind is Kind.F32
