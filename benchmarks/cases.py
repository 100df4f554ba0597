"""What is measured: a model, its inputs with all dimensions bound, and seeded values for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glowpy.feeds import bind_open, check_feeds, random_feeds
from glowpy.source import locate, open_source
from glowpy_ir.types import Array


@dataclass(frozen=True)
class Case:
    """A model file, and the arrays that every engine is fed with."""

    name: str
    path: Path
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
    path = locate(model)
    declared = open_source(path, {}, {}, {}).inputs
    given = _archive(path.with_suffix(".npz"))
    given_shapes = {name: array.shape for name, array in given.items()}
    source = open_source(path, dims, {**given_shapes, **shapes}, {})
    inputs, _ = bind_open(source.inputs, {})
    arrays = check_feeds(inputs, {**random_feeds(inputs, seed), **given})
    extents = {
        str(dim): extent
        for spec, array in zip(declared, arrays, strict=True)
        for dim, extent in zip(spec.type.shape, array.shape, strict=True)
        if not isinstance(dim, int)
    }
    return Case(path.stem, path, {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}, extents)


def _archive(path: Path) -> dict[str, Array]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
