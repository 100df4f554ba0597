"""The kernels that sample, and pool regions, compute what the operators mean."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS
from cpu.whole import agree

from glowpy_backends.cpu.target import Target
from glowpy_ir.ops.roi import MaxRoiPool, RoiAlign
from glowpy_ir.ops.sampling import Interpolation, Outside, Sample
from glowpy_ir.ops.vision import Col2Im, DeformConv, GridSample
from glowpy_ir.types import Array

RNG = np.random.default_rng(3)
NAMES = {512: "avx512", 256: "avx2", 128: "sse2"}


def places(dtype: type[np.generic], batch: int, count: int, rank: int) -> Array:
    """Places in and around a grid, on its elements, far out, and nowhere."""
    result = 6 * RNG.standard_normal((batch, count, rank))
    result[:, 0] = np.array([np.nan, np.inf, -np.inf])[:rank]
    result[:, 1], result[:, 2] = -1e30, np.rint(result[:, 2])
    return result.astype(np.float64 if dtype is np.float64 else np.float32)


@pytest.mark.parametrize("outside", Outside)
@pytest.mark.parametrize("interpolation", Interpolation)
def test_sample(interpolation: Interpolation, outside: Outside) -> None:
    for shape, count in (((2, 3, 5, 7), 41), ((2, 16, 1, 1), 3)):
        x, where = RNG.standard_normal(shape).astype(np.float32), places(np.float32, shape[0], count, 2)
        agree(Sample(interpolation, outside), x, where, tolerance=2e-5)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("shape", "count"), [((1, 11, 6), 600), ((1, 2, 3, 1, 4), 33)])
def test_sample_of_other_ranks(shape: tuple[int, ...], count: int, target: Target) -> None:
    x, where = RNG.standard_normal(shape).astype(np.float32), places(np.float32, 1, count, len(shape) - 2)
    for op in (Sample(), Sample(Interpolation.CUBIC, Outside.SYMMETRIC)):
        agree(op, x, where, target=NAMES[target.vector_bits], tolerance=2e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float16, 2e-3)])
def test_sample_of_other_kinds(dtype: type[np.generic], tolerance: float) -> None:
    x = RNG.standard_normal((1, 5, 4, 3)).astype(dtype)
    agree(Sample(Interpolation.CUBIC, Outside.EDGE), x, places(dtype, 1, 17, 2), tolerance=tolerance)


def regions(count: int, dtype: type[np.generic]) -> Array:
    """Regions of all sizes, some of which are far out, or nowhere."""
    corner = RNG.uniform(-3, 20, (count, 2))
    result = np.concatenate([corner, corner + RNG.uniform(-1, 25, (count, 2))], 1)
    result[0], result[1] = [1e30, -1e30, np.nan, np.inf], [-1e9, -1e9, 1e9, 1e9]
    return result.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3, 9, 11), (1, 17, 5, 5), (1, 1, 1, 1)])
def test_regions(shape: tuple[int, ...], dtype: type[np.generic], tmp_path: Path) -> None:
    x, batch = RNG.standard_normal(shape).astype(dtype), RNG.integers(0, shape[0], 7)
    for shift, largest, ratio in product((True, False), (True, False), (0, 3)):
        agree(RoiAlign((3, 2), ratio, 0.5, shift, largest), x, regions(7, dtype), batch, cache=tmp_path)
    rows = np.concatenate([batch[:, None].astype(dtype), regions(7, dtype)], 1)
    agree(MaxRoiPool((3, 2), 0.5), x, rows, cache=tmp_path)


def test_composites(tmp_path: Path) -> None:
    x = RNG.standard_normal((2, 4, 6, 7)).astype(np.float32)
    agree(GridSample(Interpolation.CUBIC, Outside.EDGE), x, places(np.float32, 2, 15, 2).reshape(2, 3, 5, 2) / 6)
    weights, bias = RNG.standard_normal((6, 2, 3, 2)).astype(np.float32), np.arange(6, dtype=np.float32)
    offsets, mask = (RNG.standard_normal((2, n, 3, 5)).astype(np.float32) for n in (24, 12))
    conv = DeformConv((2, 2), (1, 2), (0, 1), (1, 1), 2, 2)
    agree(conv, x, weights, offsets, bias, mask, known=(1, 3), tolerance=1e-4)
    columns = RNG.standard_normal((2, 18, 16)).astype(np.float32)
    agree(Col2Im((8, 9), (3, 2), (2, 2), (1, 1), (1, 0), (1, 2)), columns)
