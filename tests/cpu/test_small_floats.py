"""Floats of eight bits and less: every code widens exactly, and numbers round as Cast says."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cpu.lanes import apply
from cpu.native import TARGETS, WIDTHS, Array

from glowpy_backends.cpu.body import leave
from glowpy_backends.cpu.conversion import convert
from glowpy_backends.cpu.small_floats import narrow_small, widen_small
from glowpy_backends.cpu.target import Target
from glowpy_ir.ops.convert import SMALL_FLOATS, Cast
from glowpy_ir.types import Kind

CODES = np.arange(256, dtype=np.uint8)
FLOATS = sorted(SMALL_FLOATS, key=lambda kind: kind.value)

kinds = pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: kind.value)
targets = pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)


def codes(kind: Kind) -> Array:
    """Every element of the kind."""
    return CODES[: 16 if kind is Kind.F4E2M1 else 256].view(kind.dtype)


def bits_unless_nan(x: Array) -> Array:
    return np.where(np.isnan(x.astype(np.float32)), 0, x.view(np.uint8 if x.itemsize == 1 else np.uint32))


@pytest.mark.parametrize("kind", [*FLOATS, Kind.F8E8M0], ids=lambda kind: kind.value)
@targets
def test_all_floats_widen_exactly(kind: Kind, target: Target) -> None:
    x = codes(kind)
    got, expected = apply(lambda b, v: widen_small(b, v, kind), target, [x], Kind.F32), x.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(bits_unless_nan(got), bits_unless_nan(expected))


@kinds
@targets
def test_rounding(kind: Kind, target: Target) -> None:
    """All numbers, what lies in the middle between two, the neighbours of that, too large ones, and random bits."""
    numbers = np.sort(codes(kind).astype(np.float32))
    numbers = np.unique(numbers[np.isfinite(numbers)])
    last = numbers[-1] - numbers[-2]
    middle = np.concatenate([(numbers[1:] + numbers[:-1]) / 2, numbers[-1] + last / 2 * np.arange(-3, 4)])
    middle = np.concatenate([middle, -middle, np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, 1e30], np.float32)])
    random = np.random.default_rng(1).integers(0, 1 << 32, 20_000, np.uint32, endpoint=False).view(np.float32)
    with np.errstate(all="ignore"):
        near = [np.nextafter(middle, np.float32(side)) for side in (-np.inf, np.inf)]
        scaled = np.random.default_rng(2).normal(0, float(numbers[-1]) / 2, 5000).astype(np.float32)
        x = np.concatenate([numbers, middle, *near, random, scaled, [np.nan, -np.nan]]).astype(np.float32)
    got = apply(lambda b, v: narrow_small(b, v, kind), target, [x], kind)
    expected = Cast(kind, saturate=False).evaluate(x)
    known = ~np.isnan(x) if kind is Kind.F4E2M1 else np.ones(x.shape, bool)
    np.testing.assert_array_equal(np.isnan(got.astype(np.float32)), np.isnan(expected.astype(np.float32)))
    np.testing.assert_array_equal(bits_unless_nan(got)[known], bits_unless_nan(expected)[known])
    assert not np.any(got[~known].astype(np.float32))  # without a NaN, NaN is zero


@pytest.mark.parametrize("to", [Kind.BF16, *FLOATS], ids=lambda kind: kind.value)
def test_doubles_are_rounded_once(to: Kind) -> None:
    """A little beside the middle between two numbers, so little that f32 has no room for it."""
    step = float(ml_dtypes.finfo(to.dtype).eps)
    little = 2.0**-40
    x = np.array([1 + step / 2 + little, 1 + step / 2 - little, 1 + step / 2, 1 + 1.5 * step - little])
    rounded = [1 + step, 1, 1, 1 + step]
    for sign in (1, -1):
        made = apply(lambda b, v: leave(b, to, convert(b, v, Kind.F64, to)), TARGETS[0], [sign * x], to)
        for result in (Cast(to).evaluate(sign * x), made):
            np.testing.assert_array_equal(result.astype(np.float64), np.multiply(sign, rounded))
