"""Sampling of grids against places that are easy to tell, and pooled regions against sums by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from glowpy_ir.errors import TypeMismatch, Unsupported, UsageError
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.roi import MaxRoiPool, RoiAlign
from glowpy_ir.ops.sampling import Interpolation, Outside, Sample
from glowpy_ir.types import Array, TensorType

LINE = np.array([1, 2, 4, 8], np.float32).reshape(1, 1, 4)


def sampled(line: Array, op: Sample, *places: float) -> list[float]:
    (result,) = apply(op, line, np.array(places, np.float32).reshape(1, -1, 1))
    return [float(number) for number in result.reshape(-1)]


@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("outside", Outside)
def test_places_of_elements(interpolation: Interpolation, outside: Outside) -> None:
    assert sampled(LINE, Sample(interpolation, outside), 0, 1, 2, 3) == [1, 2, 4, 8]


def test_between_elements() -> None:
    assert sampled(LINE, Sample(Interpolation.NEAREST), 0.4, 0.5, 1.5, 2.6) == [1, 1, 4, 8]
    assert sampled(LINE, Sample(Interpolation.LINEAR), 0.5, 1.25, -0.5, 3.75, 9) == [1.5, 2.5, 0.5, 2, 0]
    cubic = sampled(LINE, Sample(Interpolation.CUBIC), 1.5)[0]
    assert cubic == pytest.approx(-0.09375 * (1 + 8) + 0.59375 * (2 + 4))


@pytest.mark.parametrize(
    ("outside", "expected"),
    [
        (Outside.ZERO, [0, 0, 0, 0, 0]),
        (Outside.EDGE, [1, 1, 8, 8, 8]),
        (Outside.REFLECT, [2, 8, 4, 1, 2]),
        (Outside.SYMMETRIC, [1, 4, 8, 2, 1]),
    ],
)
def test_outside(outside: Outside, expected: list[float]) -> None:
    assert sampled(LINE, Sample(Interpolation.NEAREST, outside), -1, -3, 4, 6, 7) == expected


@pytest.mark.parametrize("outside", Outside)
@pytest.mark.parametrize("interpolation", Interpolation)
def test_no_place_is_too_far(interpolation: Interpolation, outside: Outside) -> None:
    for line in (LINE, LINE[..., :1]):
        found = sampled(line, Sample(interpolation, outside), 1e30, -1e30, np.inf, -np.inf, np.nan)
        assert set(found) <= {0, 1, 2, 4, 8}


def test_what_weighs_nothing_does_not_count() -> None:
    line = np.array([1, np.inf, 3, np.nan], np.float32).reshape(1, 1, 4)
    assert sampled(line, Sample(), 0, 2) == [1, 3]


def test_dimensions_are_independent() -> None:
    rng = np.random.default_rng(0)
    image, x, y = rng.standard_normal((1, 3, 5, 7)), rng.uniform(0, 4, 9), rng.uniform(0, 6, 9)
    (result,) = apply(Sample(Interpolation.CUBIC, Outside.EDGE), image, np.stack([x, y], -1)[None])
    for i in range(9):
        (column,) = apply(Sample(Interpolation.CUBIC, Outside.EDGE), image.reshape(15, 1, 7), np.full((15, 1, 1), y[i]))
        line = column.reshape(1, 3, 5)
        (expected,) = apply(Sample(Interpolation.CUBIC, Outside.EDGE), line, np.full((1, 1, 1), x[i]))
        np.testing.assert_allclose(result[..., i : i + 1], expected, rtol=1e-12)


def test_a_region_of_a_plane_has_its_means() -> None:
    """Of a function that is linear, a mean is the value at the center."""
    y, x = np.mgrid[0:20, 0:30].astype(np.float64)
    image = (2 * y + 3 * x)[None, None]
    region, batch = np.array([[4.0, 6, 10, 14]]), np.zeros(1, np.int64)
    for ratio, shift in product((0, 1, 3), (False, True)):
        (result,) = apply(RoiAlign((4, 2), ratio, 1.0, shift), image, region, batch)
        rows, columns = 6 + 8 * (np.arange(4) + 0.5) / 4, 4 + 6 * (np.arange(2) + 0.5) / 2
        expected = 2 * rows[:, None] + 3 * columns[None] - (2.5 if shift else 0)
        np.testing.assert_allclose(result[0, 0], expected, rtol=1e-12)


def test_largest_elements_of_regions() -> None:
    image = np.arange(48, dtype=np.float32).reshape(1, 1, 6, 8)
    regions = np.array([[0, 0, 0, 7, 5], [0, 2, 2, 3, 3], [0, 90, 90, 99, 99], [0, 4, 3, 1, 1]], np.float32)
    (result,) = apply(MaxRoiPool((2, 2)), image, regions)
    assert result[0, 0].tolist() == [[19, 23], [43, 47]]
    assert result[1, 0].tolist() == [[18, 19], [26, 27]]
    assert result[2, 0].tolist() == [[0, 0], [0, 0]]
    assert result[3, 0].tolist() == [[28, 28], [28, 28]]


@pytest.mark.parametrize("number", [-1, 2])
def test_a_region_of_no_image_is_refused(number: int) -> None:
    image, region = np.zeros((2, 1, 4, 4), np.float32), np.zeros((1, 4), np.float32)
    with pytest.raises(UsageError, match="of no image"):
        apply(RoiAlign((2, 2)), image, region, np.array([number]))
    with pytest.raises(UsageError, match="but there are 2"):
        apply(MaxRoiPool((2, 2)), image, np.array([[number, 0, 0, 1, 1]], np.float32))


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (Sample(), ["f32[1,3,4,5]", "f32[1,7,3]"], "is sampled at"),
        (Sample(), ["f32[1,3,4,5]", "f64[1,7,2]"], "is sampled at"),
        (Sample(), ["f32[1,3,4,0]", "f32[1,7,2]"], "nothing to sample"),
        (Sample(), ["f32[2,3,4,5]", "f32[1,7,2]"], "nothing to sample"),
        (Sample(), ["i32[2,3,4,5]", "f32[1,7,2]"], "takes elements of"),
        (RoiAlign((2, 2)), ["f32[1,3,4]", "f32[7,4]", "i64[7]"], "takes images"),
        (RoiAlign((2, 2)), ["f32[1,3,4,4]", "f32[7,5]", "i64[7]"], "regions of"),
        (RoiAlign((2, 2)), ["f32[1,3,4,4]", "f32[7,4]", "i64[6]"], "number of its image"),
        (RoiAlign((2, 0)), ["f32[1,3,4,4]", "f32[7,4]", "i64[7]"], "cannot become"),
        (RoiAlign((2, 2), 1 << 40), ["f32[1,3,4,4]", "f32[7,4]", "i64[7]"], "cannot become"),
        (MaxRoiPool((0, 2)), ["f32[1,3,4,4]", "f32[7,5]"], "cannot become"),
        (MaxRoiPool((2, 2)), ["f32[0,3,4,4]", "f32[7,5]"], "has no images"),
        (RoiAlign((2, 2)), ["f32[0,3,4,4]", "f32[7,4]", "i64[7]"], "has no images"),
    ],
)
def test_operands_that_do_not_fit_are_refused(op: Op, operands: list[str], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *map(TensorType.parse, operands))


def test_too_many_neighbours_are_refused() -> None:
    with pytest.raises(Unsupported, match="neighbours"):
        infer(Sample(Interpolation.CUBIC), *map(TensorType.parse, ("f32[1,1,2,2,2,2,2]", "f32[1,7,5]")))
