"""What each ONNX operator becomes, one family a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from glowpy.onnx.context import Loader
from glowpy.onnx.operators import (
    activation,
    attention,
    constant,
    contrib_attention,
    contrib_fused,
    contrib_normalization,
    contrib_quantized,
    contrib_recurrent,
    contrib_standard,
    control,
    convolution,
    early,
    elementwise,
    images,
    indexing,
    linear,
    ml_features,
    ml_labels,
    ml_linear,
    ml_trees,
    ml_vectors,
    movement,
    ngrams,
    normalization,
    pooling,
    quantization,
    random,
    recurrent,
    reduction,
    resampling,
    scan,
    selection,
    sequence,
    slicing,
    spectral,
    text,
    training,
    vision,
)

STANDARD: tuple[ModuleType, ...] = (
    activation,
    attention,
    constant,
    control,
    convolution,
    early,
    elementwise,
    images,
    indexing,
    linear,
    movement,
    ngrams,
    normalization,
    pooling,
    quantization,
    random,
    recurrent,
    reduction,
    resampling,
    selection,
    scan,
    sequence,
    slicing,
    spectral,
    text,
    vision,
)
"""The families of the standard's own operator set; each has a table ``LOADERS``."""

CONTRIBUTED: tuple[ModuleType, ...] = (
    contrib_attention,
    contrib_fused,
    contrib_normalization,
    contrib_quantized,
    contrib_recurrent,
    contrib_standard,
    ml_features,
    ml_labels,
    ml_linear,
    ml_trees,
    ml_vectors,
    training,
)
"""The families of other operator sets; each has also a ``DOMAIN``."""


Rows = Mapping[str, Sequence[tuple[int, Loader]]]
"""The versions of each operator that have a loader of their own, the newest first."""


def tables() -> Mapping[str, Rows]:
    """All loaders, by domain; the standard's own domain is the empty text."""
    merged: dict[str, dict[str, list[tuple[int, Loader]]]] = {}
    for family in (*STANDARD, *CONTRIBUTED):
        table = merged.setdefault(getattr(family, "DOMAIN", ""), {})
        for (name, since), loader in family.LOADERS.items():
            rows = table.setdefault(name, [])
            if any(since == other for other, _ in rows):
                raise ValueError(f"{family.__name__} repeats {name} {since}")
            rows.append((since, loader))
            rows.sort(key=lambda row: -row[0])
    return merged
