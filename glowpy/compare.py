"""How far two results are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glowpy_ir.types import Array


@dataclass(frozen=True)
class Difference:
    """The largest error of one tensor; infinite if the two cannot be compared, or differ in what is no number."""

    absolute: float
    relative: float
    """``absolute`` in units of the range of the reference's elements: a scale that small elements do not blow up."""
    reason: str = ""
    """What is wrong where it is not a matter of size."""


SAME = Difference(0.0, 0.0)


def compare(array: Array, reference: Array) -> Difference:
    """How far ``array`` is from ``reference``."""
    if array.shape != reference.shape or array.dtype != reference.dtype:
        return _different(f"{array.dtype}{list(array.shape)} instead of {reference.dtype}{list(reference.shape)}")
    if reference.dtype.kind in "OSUb":
        count = int(np.count_nonzero(array != reference))
        return _different(f"{count} elements are not equal") if count else SAME
    if array.size == 0:
        return SAME
    given, wanted = array.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(wanted)
    if not np.array_equal(given[~finite], wanted[~finite], equal_nan=True) or not np.isfinite(given[finite]).all():
        return _different("infinities or NaNs are not in the same places")
    if not finite.any():
        return SAME
    wanted = wanted[finite]
    error = float(np.abs(given[finite] - wanted).max())
    extent = float(np.ptp(wanted)) or float(np.abs(wanted).max()) or 1.0
    return Difference(error, error / extent)


def worst(arrays: Sequence[Array], references: Sequence[Array]) -> Difference:
    """The largest difference of several tensors."""
    if len(arrays) != len(references):
        return _different(f"{len(arrays)} outputs instead of {len(references)}")
    pairs = zip(arrays, references, strict=True)
    return max((compare(a, b) for a, b in pairs), key=lambda d: d.relative, default=SAME)


def _different(reason: str) -> Difference:
    return Difference(math.inf, math.inf, reason)
