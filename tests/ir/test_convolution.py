"""Convolution and its transpose against their definitions, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glowpy_ir.dims import symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.ops.conv_transpose import ConvTranspose
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.types import Kind, TensorType

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    extra: tuple[int, ...]
    groups: int
    depth: int
    results: int

    def fits(self) -> bool:
        """Whether a convolution has a result."""
        parts = zip(self.spatial, self.kernel, self.before, self.after, self.dilations, strict=True)
        return all(n + b + a > (k - 1) * d for n, k, b, a, d in parts)

    def fits_transposed(self) -> bool:
        """Whether a transposed convolution has a result."""
        return min(self.transposed()) > 0

    def transposed(self) -> tuple[int, ...]:
        """The extents of the result of a transposed convolution."""
        cut = (x - b - a for b, a, x in zip(self.before, self.after, self.extra, strict=True))
        reach = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        return tuple((n - 1) * s + r + c for n, s, r, c in zip(self.spatial, self.strides, reach, cut, strict=True))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rank = draw(st.integers(1, 3))

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(rank))

    return Case(
        each(1, 5), each(1, 3), each(1, 3), each(0, 3), each(0, 3), each(1, 3), each(0, 2),
        draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)),
    )  # fmt: skip


def convolution(case: Case, input: Array, weights: Array) -> Array:
    """The definition, one product after the other."""
    padded = np.pad(input, ((0, 0), (0, 0), *zip(case.before, case.after, strict=True)))
    reach = [(k - 1) * d + 1 for k, d in zip(case.kernel, case.dilations, strict=True)]
    counts = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, case.strides, strict=True)]
    result = np.zeros((len(input), len(weights), *counts))
    for n, m, *place in product(*map(range, result.shape)):
        first = m // case.results * case.depth
        for c, *tap in product(*map(range, weights.shape[1:])):
            at = (p * s + t * d for p, s, t, d in zip(place, case.strides, tap, case.dilations, strict=True))
            result[n, m, *place] += padded[n, first + c, *at] * weights[m, c, *tap]
    return result


def transposed(case: Case, input: Array, weights: Array) -> Array:
    """The definition: every element adds its copy of the weights."""
    extents = case.transposed()
    result = np.zeros((len(input), case.results * case.groups, *extents))
    for n, c, *place in product(*map(range, input.shape)):
        group = c // case.depth
        for m, *tap in product(*map(range, weights.shape[1:])):
            steps = zip(place, case.strides, tap, case.dilations, case.before, strict=True)
            at = [p * s + t * d - b for p, s, t, d, b in steps]
            if all(0 <= i < extent for i, extent in zip(at, extents, strict=True)):
                result[n, group * case.results + m, *at] += input[n, c, *place] * weights[c, m, *tap]
    return result


@settings(max_examples=50)
@given(cases(), st.integers(0, 2), st.booleans())
def test_convolution_is_its_definition(case: Case, batch: int, biased: bool) -> None:
    if not case.fits():
        return
    random = np.random.default_rng(0)
    input = random.standard_normal((batch, case.groups * case.depth, *case.spatial)).astype(np.float32)
    weights = random.standard_normal((case.groups * case.results, case.depth, *case.kernel)).astype(np.float32)
    bias = random.standard_normal(len(weights)).astype(np.float32)
    op = Conv(case.strides, case.before, case.after, case.dilations, case.groups)
    operands = (input, weights, bias) if biased else (input, weights)
    (result,) = apply(op, *operands)
    assert infer(op, *map(TensorType.of, operands)) == (TensorType.of(result),)
    expected = convolution(case, input, weights) + biased * bias.reshape(-1, *(1 for _ in case.spatial))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=50)
@example(case=Case((1, 1), (1, 2), (1, 1), (0, 3), (0, 0), (1, 1), (0, 2), 1, 1, 1), biased=True)  # only extra is left
@given(case=cases(), biased=st.booleans())
def test_transposed_convolution_is_its_definition(case: Case, biased: bool) -> None:
    if not case.fits_transposed():
        return
    random = np.random.default_rng(0)
    input = random.standard_normal((2, case.groups * case.depth, *case.spatial)).astype(np.float32)
    weights = random.standard_normal((case.groups * case.depth, case.results, *case.kernel)).astype(np.float32)
    bias = random.standard_normal(case.groups * case.results).astype(np.float32)
    op = ConvTranspose(case.strides, case.before, case.after, case.dilations, case.groups, case.extra)
    operands = (input, weights, bias) if biased else (input, weights)
    (result,) = apply(op, *operands)
    assert infer(op, *map(TensorType.of, operands)) == (TensorType.of(result),)
    expected = transposed(case, input, weights) + biased * bias.reshape(-1, *(1 for _ in case.spatial))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_half_precision_is_summed_in_single() -> None:
    input = np.full((1, 4096, 1, 1), 0.25, np.float16)
    weights = np.ones((1, 4096, 1, 1), np.float16)
    (result,) = apply(Conv((1, 1), (0, 0), (0, 0), (1, 1)), input, weights)
    assert result.dtype == np.float16
    assert result.item() == 1024


def test_unknown_dimensions_stay_unknown() -> None:
    width = symbol("w")
    image, weights = TensorType(Kind.F32, (1, 3, 8, width)), TensorType(Kind.F32, (4, 3, 3, 3))
    blocks = TensorType(Kind.F32, (3, 4, 2, 2))
    (same,) = infer(Conv((1, 1), (1, 1), (1, 1), (1, 1)), image, weights)
    assert same.shape == (1, 4, 8, width)
    (doubled,) = infer(ConvTranspose((2, 2), (0, 0), (0, 0), (1, 1), 1, (0, 0)), image, blocks)
    assert doubled.shape == (1, 4, 16, width * 2)


PLAIN = Conv((1, 1), (0, 0), (0, 0), (1, 1))


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (PLAIN, ["f32[1,3,8,8]", "f32[4,2,3,3]"], "needs 2 channels"),
        (PLAIN, ["f32[1,3,8,8]", "f32[4,3,9,3]"], "a window of 9 is wider than dimension 8"),
        (PLAIN, ["f32[1,3,8,8]", "f32[4,3,3]"], "takes"),
        (PLAIN, ["f32[1,3,8,8]", "f64[4,3,3,3]"], "element kinds differ"),
        (PLAIN, ["f32[1,3,8,8]", "f32[4,3,3,3]", "f32[3]"], r"must be f32\[4\]"),
        (PLAIN, ["u8[1,3,8,8]", "i8[4,3,3,3]", "i16[4]"], r"must be i32\[4\]"),
        (Conv((1,), (0, 0), (0, 0), (1, 1)), ["f32[1,3,8,8]", "f32[4,3,3,3]"], "one entry for each"),
        (Conv((0, 1), (0, 0), (0, 0), (1, 1)), ["f32[1,3,8,8]", "f32[4,3,3,3]"], "must be positive"),
        (Conv((1, 1), (0, -1), (0, 0), (1, 1)), ["f32[1,3,8,8]", "f32[4,3,3,3]"], "must not be negative"),
        (Conv((1, 1), (0, 0), (0, 0), (1, 1), 3), ["f32[1,3,8,8]", "f32[4,1,3,3]"], "3 groups"),
    ],
)
def test_what_does_not_fit_is_refused(op: Conv, operands: list[str], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *map(TensorType.parse, operands))
