"""How far results are apart: in units that small elements do not blow up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glowpy.compare import compare, worst
from glowpy_ir.types import Array


def test_error_is_told_in_units_of_the_range() -> None:
    difference = compare(np.array([0.0, 10.5]), np.array([0.0, 10.0]))
    assert (difference.absolute, difference.relative) == (0.5, 0.05)


def test_constant_reference_uses_its_size() -> None:
    assert compare(np.array([4.0, 4.0]), np.array([5.0, 5.0])).relative == pytest.approx(0.2)
    assert compare(np.array([0.5]), np.array([0.0])).relative == 0.5


@pytest.mark.parametrize(
    ("array", "reference"),
    [
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.array([np.nan, 0]), np.array([0.0, np.nan])),
        (np.array([np.inf]), np.array([-np.inf])),
        (np.array([np.inf]), np.array([0.0])),
        (np.array([True]), np.array([False])),
        (np.array(["a"], object), np.array(["b"], object)),
    ],
)
def test_what_is_not_a_matter_of_size_is_infinite(array: Array, reference: Array) -> None:
    difference = compare(array, reference)
    assert math.isinf(difference.relative)
    assert difference.reason


def test_same_infinities_are_equal() -> None:
    both = np.array([np.inf, -np.inf, np.nan])
    assert compare(both, both.copy()).relative == 0


def test_integers_do_not_wrap() -> None:
    assert compare(np.array([0], np.uint8), np.array([255], np.uint8)).absolute == 255


def test_empty_arrays_are_equal() -> None:
    assert compare(np.empty((0, 3)), np.empty((0, 3))).absolute == 0


def test_worst_of_several() -> None:
    assert worst([np.array([1.0]), np.array([3.0])], [np.array([1.0]), np.array([2.0])]).absolute == 1
    assert math.isinf(worst([], [np.array([1.0])]).absolute)
