"""What is measured: a model, its inputs with all dimensions bound, and seeded values for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.random import Generator

from glowpy.feeds import random_array
from glowpy.source import locate
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array


@dataclass(frozen=True)
class Case:
    """A model file, and the arrays that every engine is fed with."""

    name: str
    path: Path
    feeds: Mapping[str, Array]
    dims: Mapping[str, int]
    """The values of the symbolic dimensions that the file names."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.feeds.items()}


def load_case(model: str, dims: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]], seed: int) -> Case:
    """The case of a model path (or ``onnx:NAME``); dimensions that nobody bound are 1.

    An archive ``MODEL.npz`` beside ``MODEL.onnx`` gives the feeds; what it lacks is random, the same for each seed.
    """
    path = locate(model)
    graph = onnx.load(path, load_external_data=False).graph
    given = _archive(path.with_suffix(".npz"))
    weights = {initializer.name for initializer in graph.initializer}
    generator = np.random.default_rng(seed)
    bound: dict[str, int] = {}
    feeds = {}
    for value in graph.input:
        if value.name in weights:
            continue
        shape = given[value.name].shape if value.name in given else shapes.get(value.name)
        shape = _bind(value, dims, shape, bound)
        feeds[value.name] = given[value.name] if value.name in given else _random(generator, value, shape)
    return Case(path.stem, path, feeds, bound)


def _archive(path: Path) -> dict[str, Array]:
    if not path.exists():
        return {}
    with np.load(path) as archive:
        return dict(archive)


def _bind(
    value: onnx.ValueInfoProto, dims: Mapping[str, int], shape: tuple[int, ...] | None, bound: dict[str, int]
) -> tuple[int, ...]:
    declared = value.type.tensor_type.shape.dim
    if shape is not None and len(shape) != len(declared):
        raise UsageError(f"input {value.name!r} has {len(declared)} dimensions; shape {shape} has {len(shape)}")
    extents = []
    for i, dim in enumerate(declared):
        if shape is not None:
            extent = shape[i]
        elif dim.dim_param:
            extent = dims.get(dim.dim_param, 1)
        else:
            extent = max(dim.dim_value, 1)
        if dim.dim_param:
            bound[dim.dim_param] = extent
        extents.append(extent)
    return tuple(extents)


def _random(generator: Generator, value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> Array:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return random_array(generator, np.dtype(dtype), shape)
