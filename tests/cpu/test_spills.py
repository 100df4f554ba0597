"""The register tiles that are chosen for typical layers stay in registers."""

from __future__ import annotations

import re

import pytest

from glowpy_backends.cpu.emit import emit_assembly
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.kernels import convolution, matmul, winograd
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.kernels.matmul import MatMul
from glowpy_backends.cpu.kernels.winograd import Winograd
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.types import Kind

TARGETS = [Target.named(name) for name in ("avx512", "avx2")]

CONVOLUTIONS = [
    (3, 64, 112, 7, 2),
    (64, 64, 56, 3, 1),
    (128, 128, 28, 3, 1),
    (256, 256, 14, 3, 1),
    (512, 512, 7, 3, 1),
    (64, 256, 56, 1, 1),
    (1024, 256, 14, 1, 1),
    (2048, 512, 7, 1, 1),
    (32, 16, 27, 5, 2),
    (16, 32, 13, 3, 2),
]
"""Input channels, output channels, output size, kernel, stride."""


def layer(channels: int, out_channels: int, size: int, kernel: int, stride: int, lanes: int) -> Convolution:
    """A square convolution; the first layer of a network has a planar image."""
    extent = size * stride
    shape = (1, channels // lanes, extent, extent, lanes) if channels > 3 else (1, channels, extent, extent)
    result = View.dense(Kind.F32, (1, out_channels // lanes, size, size, lanes))
    image = View.dense(Kind.F32, shape)
    pad = kernel // 2
    return Convolution(image, result, channels, out_channels, (kernel, kernel), (stride, stride), pads=(pad, pad))


def spills(kernel: Kernel, target: Target) -> list[str]:
    """The instructions of hot loops that move vectors to or from the stack.

    A loop is hot if its body, one block, has at least half as many multiplications as the one that has most.
    """
    loops = re.findall(r"^(\.L\w+):\n((?:(?!\.L\w+:).*\n)*?)\tj\w+\t\1$", emit_assembly(kernel.ir, target), re.M)
    bodies = [body for _, body in loops]
    most = max(body.count("vfmadd") for body in bodies)
    assert most > 0
    return [
        line.strip()
        for body in bodies
        if 2 * body.count("vfmadd") >= most
        for line in body.splitlines()
        if "(%rsp" in line and re.search(r"%[xyz]mm", line)
    ]


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_direct_convolutions(shape: tuple[int, int, int, int, int], target: Target) -> None:
    spec = layer(*shape, target.lanes(4))
    assert not spills(convolution.convolution(spec, convolution.tiling_of(spec, target), target), target)


@pytest.mark.parametrize("shape", [CONVOLUTIONS[1], CONVOLUTIONS[3]], ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_winograd_convolutions(shape: tuple[int, int, int, int, int], target: Target) -> None:
    conv = layer(*shape, target.lanes(4))
    spec = Winograd(conv, winograd.tile_size(conv) or 2)
    assert not spills(winograd.winograd(spec, winograd.tiling_of(spec, target), target), target)


@pytest.mark.parametrize("shape", [(128, 768, 768), (197, 64, 64), (1, 1000, 512)], ids=str)
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_matrix_products(shape: tuple[int, int, int], constant: bool, target: Target) -> None:
    rows, columns, depth = shape
    result, left, right = (View.dense(Kind.F32, s) for s in ((rows, columns), (rows, depth), (depth, columns)))
    spec = MatMul(result, left, right, constant)
    assert not spills(matmul.matmul(spec, matmul.tiling_of(spec, target), target), target)
