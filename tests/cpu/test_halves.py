"""16-bit floats: every one widens exactly, and f32 round to the nearest, with and without the instruction."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.lanes import apply
from cpu.native import TARGETS, WIDTHS, Array

from glowpy_backends.cpu.builder import BF16, F16, Type
from glowpy_backends.cpu.halves import narrow_half, widen_half
from glowpy_backends.cpu.target import Target
from glowpy_ir.types import Kind

HALVES = [pytest.param(Kind.F16, F16, id="f16"), pytest.param(Kind.BF16, BF16, id="bf16")]


def bits_unless_nan(x: Array) -> Array:
    unsigned = x.view(np.uint16 if x.itemsize == 2 else np.uint32)
    return np.where(np.isnan(x.astype(np.float32)), 0, unsigned)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("kind", "element"), HALVES)
def test_all_widen_exactly(kind: Kind, element: Type, target: Target) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(kind.dtype)
    got = apply(widen_half, target, [x], Kind.F32)
    expected = x.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(bits_unless_nan(got), bits_unless_nan(expected))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("kind", "element"), HALVES)
def test_rounding(kind: Kind, element: Type, target: Target) -> None:
    """All halves, what lies in the middle between two, the neighbours of that, and random bits."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(kind.dtype).astype(np.float32)
    step = 12 if kind is Kind.F16 else 15
    middle = (halves.view(np.uint32) ^ np.uint32(1 << step)).view(np.float32)
    random = np.random.default_rng(1).integers(0, 1 << 32, 50_000, np.uint32, endpoint=False).view(np.float32)
    with np.errstate(all="ignore"):
        near = [np.nextafter(middle, np.float32(side)) for side in (0, np.inf)]
        x = np.concatenate([halves, middle, *near, random])
        expected = x.astype(kind.dtype)
    got = apply(lambda b, v: narrow_half(b, v, element), target, [x], kind)
    np.testing.assert_array_equal(np.isnan(got.astype(np.float32)), np.isnan(expected.astype(np.float32)))
    np.testing.assert_array_equal(bits_unless_nan(got), bits_unless_nan(expected))
