"""What is measured: a model, its inputs with all dimensions bound, and seeded values for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glowpy.feeds import TensorSpec, bind_open, check_arrays, random_feeds
from glowpy.source import for_others, open_source
from glowpy_ir.types import Array


@dataclass(frozen=True)
class Case:
    """A model, and the arrays that every engine is fed with."""

    name: str
    model: str | bytes
    """A path, or the bytes of a file."""
    feeds: Mapping[str, Array]
    dims: Mapping[str, int]
    """The extents of the dimensions that the model leaves open, by name."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.feeds.items()}


def load_case(model: str, dims: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]], seed: int) -> Case:
    """The case of a model path (or ``onnx:NAME``); open dimensions that nobody bound are 1.

    An archive ``MODEL.npz`` beside ``MODEL.onnx`` gives feeds; those that it lacks are random, the same for each seed.
    Raises UsageError if dimensions or feeds do not fit the model.
    """
    declared = open_source(model, {}, {}, {})
    given = _archive(Path(model).with_suffix(".npz"))
    given_shapes = {name: array.shape for name, array in given.items()}
    source = open_source(model, dims, {**given_shapes, **shapes}, {})
    inputs, _ = bind_open(source.inputs, {})
    arrays = check_arrays(inputs, {**random_feeds(inputs, seed), **given})
    extents = {
        str(dim): extent
        for spec, array in zip(declared.inputs, arrays, strict=True)
        if isinstance(spec, TensorSpec)
        for dim, extent in zip(spec.type.shape, array.shape, strict=True)
        if not isinstance(dim, int)
    }
    return Case(
        declared.name,
        for_others(model),
        {spec.name: array for spec, array in zip(inputs, arrays, strict=True)},
        extents,
    )


def _archive(path: Path) -> dict[str, Array]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
