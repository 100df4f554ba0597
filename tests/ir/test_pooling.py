"""Pooling against its definition, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.ops.pooling import (
    ArgMaxPool,
    AveragePool,
    GlobalAveragePool,
    GlobalLpPool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
)
from glowpy_ir.types import Kind, TensorType
from glowpy_ir.windows import Windows

Array = NDArray[Any]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Windows, tuple[int, ...]]:
    """Windows, and spatial dimensions on which there is at least one."""
    rank = draw(st.integers(1, 3))

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(rank))

    windows = Windows(each(1, 3), each(1, 3), each(0, 3), each(0, 3), each(1, 2))
    spatial = each(1, 5)
    padded = (n + b + a for n, b, a in zip(spatial, windows.before, windows.after, strict=True))
    assume(all(n >= reach for n, reach in zip(padded, windows.reach, strict=True)))
    return windows, spatial


def tensor(spatial: tuple[int, ...], seed: int = 0) -> Array:
    """Few different numbers, so that some are equal."""
    return np.random.default_rng(seed).integers(-3, 4, (2, 2, *spatial)).astype(np.float32)


def under(windows: Windows, spatial: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Each window with the places of its taps, those in the padding too."""
    parts = zip(spatial, windows.before, windows.after, windows.reach, windows.strides, strict=True)
    counts = [(n + b + a - reach) // s + 1 for n, b, a, reach, s in parts]
    for window in product(*map(range, counts)):
        starts = [w * s - b for w, s, b in zip(window, windows.strides, windows.before, strict=True)]
        yield window, [
            tuple(i + t * d for i, t, d in zip(starts, tap, windows.dilations, strict=True))
            for tap in product(*map(range, windows.kernel))
        ]


def inside(place: tuple[int, ...], spatial: tuple[int, ...]) -> bool:
    return all(0 <= i < n for i, n in zip(place, spatial, strict=True))


def fields(w: Windows) -> tuple[tuple[int, ...], ...]:
    return w.kernel, w.strides, w.before, w.after, w.dilations


@settings(max_examples=60)
@given(cases(), st.booleans())
def test_the_largest_and_its_place(case: tuple[Windows, tuple[int, ...]], column_major: bool) -> None:
    windows, spatial = case
    input = tensor(spatial)
    (largest,) = apply(MaxPool(*fields(windows)), input)
    (places,) = apply(ArgMaxPool(*fields(windows), column_major), input)
    for n, c in product(range(2), range(2)):
        for window, taps in under(windows, spatial):
            real = [p for p in taps if inside(p, spatial)]
            if not real:
                assert largest[n, c, *window] == -np.inf
                continue
            best = max(real, key=lambda p: input[n, c, *p])
            assert largest[n, c, *window] == input[n, c, *best]
            order = "F" if column_major else "C"
            place = np.ravel_multi_index(best, spatial, order=order) + (2 * n + c) * np.prod(spatial)
            assert places[n, c, *window] == place


@settings(max_examples=60)
@given(cases(), st.booleans(), st.data())
def test_the_mean(case: tuple[Windows, tuple[int, ...]], count_include_pad: bool, data: st.DataObject) -> None:
    windows, spatial = case
    overhang = tuple(data.draw(st.integers(0, a)) for a in windows.after)
    counted = tuple(n + a - o for n, a, o in zip(spatial, windows.after, overhang, strict=True))
    input = tensor(spatial)
    op = AveragePool(*fields(windows), count_include_pad, overhang)
    (result,) = apply(op, input)
    assert infer(op, TensorType.of(input)) == (TensorType.of(result),)
    for window, taps in under(windows, spatial):
        real = [p for p in taps if inside(p, spatial)]
        total = sum((input[:, :, *p] for p in real), np.zeros((2, 2)))
        padded = [p for p in taps if all(i < n for i, n in zip(p, counted, strict=True))]
        count = len(padded) if count_include_pad else len(real)
        np.testing.assert_allclose(result[:, :, *window], total / max(count, 1), rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_norms(p: int) -> None:
    windows = Windows((2, 3), (2, 1), (1, 0), (0, 2), (1, 1))
    input = tensor((5, 4))
    (result,) = apply(LpPool(*fields(windows), p), input)
    for window, taps in under(windows, (5, 4)):
        values = np.array([input[:, :, *place] for place in taps if inside(place, (5, 4))])
        expected = (np.abs(values) ** p).sum(axis=0) ** (1 / p)
        np.testing.assert_allclose(result[:, :, *window], expected, rtol=1e-5)
    (whole,) = apply(GlobalLpPool(p), input)
    np.testing.assert_allclose(whole[:, :, 0, 0], (np.abs(input) ** p).sum(axis=(2, 3)) ** (1 / p), rtol=1e-5)


def test_global_pooling_keeps_the_rank() -> None:
    input = tensor((3, 4, 5))
    (mean,) = apply(GlobalAveragePool(), input)
    (largest,) = apply(GlobalMaxPool(), input)
    assert mean.shape == largest.shape == (2, 2, 1, 1, 1)
    np.testing.assert_allclose(mean[..., 0, 0, 0], input.mean(axis=(2, 3, 4)), rtol=1e-6)
    np.testing.assert_array_equal(largest[..., 0, 0, 0], input.max(axis=(2, 3, 4)))


def test_nan_is_the_largest() -> None:
    input = np.array([[[1, np.nan, 0, -np.inf]]], np.float32)
    (largest,) = apply(MaxPool((2,), (2,), (0,), (0,), (1,)), input)
    (places,) = apply(ArgMaxPool((2,), (2,), (0,), (0,), (1,)), input)
    np.testing.assert_array_equal(largest, np.array([[[np.nan, 0]]], np.float32))
    assert places.tolist() == [[[1, 2]]]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float16, np.float64])
def test_padding_never_wins(dtype: type[np.generic]) -> None:
    least = np.iinfo(dtype).min if np.issubdtype(dtype, np.integer) else -1000
    input = np.full((1, 1, 2), least, dtype)
    (largest,) = apply(MaxPool((3,), (1,), (1,), (1,), (1,)), input)
    assert largest.dtype == dtype
    assert (largest == least).all()


def test_unknown_dimensions_stay_unknown() -> None:
    height = symbol("h")
    (pooled,) = infer(MaxPool((2,), (2,), (0,), (0,), (1,)), TensorType(Kind.F32, (1, 3, height * 2)))
    assert pooled.shape == (1, 3, height)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeMismatch, match="MaxPool takes elements of"):
        infer(MaxPool((2,), (2,), (0,), (0,), (1,)), TensorType.parse("bool[1,1,4]"))
    with pytest.raises(TypeMismatch, match="a window of 5 is wider"):
        infer(MaxPool((5,), (2,), (0,), (0,), (1,)), TensorType.parse("f32[1,1,4]"))
    with pytest.raises(TypeMismatch, match="spatial dimensions"):
        infer(MaxPool((5,), (2,), (0,), (0,), (1,)), TensorType.parse("f32[1,4]"))
    with pytest.raises(TypeMismatch, match="no spatial dimensions"):
        infer(GlobalMaxPool(), TensorType.parse("f32[1,4]"))
