"""What each ONNX operator becomes, one family a file."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from glowpy.onnx.context import Loader, Table
from glowpy.onnx.operators import (
    activation,
    constant,
    control,
    convolution,
    elementwise,
    indexing,
    linear,
    movement,
    normalization,
    pooling,
    reduction,
    resampling,
    slicing,
)

STANDARD: tuple[ModuleType, ...] = (
    activation,
    constant,
    control,
    convolution,
    elementwise,
    indexing,
    linear,
    movement,
    normalization,
    pooling,
    reduction,
    resampling,
    slicing,
)
"""The families of the standard's own operator set; each has a table ``LOADERS``."""

CONTRIBUTED: tuple[ModuleType, ...] = ()
"""The families of other operator sets; each has also a ``DOMAIN``."""


def tables() -> Mapping[str, Table]:
    """All loaders, by domain; the standard's own domain is the empty text."""
    merged: dict[str, dict[tuple[str, int], Loader]] = {"": {}}
    for family in (*STANDARD, *CONTRIBUTED):
        table = merged.setdefault(getattr(family, "DOMAIN", ""), {})
        if twice := table.keys() & family.LOADERS.keys():
            raise ValueError(f"{family.__name__} repeats {sorted(twice)}")
        table |= family.LOADERS
    return merged
