"""The networks that everybody has: the onnx package brings nine real ones, only without their weights.

They get seeded random weights here, scaled so that activations neither vanish nor explode on their way through the
network (He and others, arXiv 1502.01852), and normalisation statistics to match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from numpy.random import Generator
from onnx import GraphProto, ModelProto, numpy_helper

from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array

SCALE, VARIANCE = ("BatchNormalization", 1), ("BatchNormalization", 4)
CENTRES = {SCALE: 1.0, VARIANCE: 1.0, ("Mul", 1): 1.0}
"""Around which value the elements of a vector lie, by its place in the operator that takes it; elsewhere around 0."""

RESIDUAL_VARIANCE = 2.5
"""Of networks that add blocks to their own inputs, each of some three layers: so that the sum does not double."""

SPREAD = 0.05
"""The standard deviation of the elements of vectors."""


@cache
def shipped_files() -> dict[str, Path]:
    """The networks' files in the installed onnx package, by name."""
    spec = find_spec("onnx")
    folders = (spec.submodule_search_locations or []) if spec else []
    files = (file for folder in folders for file in Path(folder, "backend/test/data/light").glob("light_*.onnx"))
    return {file.stem.removeprefix("light_"): file for file in sorted(files)}


def shipped_model(name: str, seed: int = 0) -> ModelProto:
    """The network of this name with random weights, the same for each seed; UsageError if there is none."""
    files = shipped_files()
    if name not in files:
        raise UsageError(f"the onnx package brings no model {name!r}; it has: {', '.join(files) or 'none'}")
    model = onnx.load(files[name])
    model.ir_version = max(model.ir_version, 4)  # the first in which weights need not be inputs too
    _add_weights(model.graph, np.random.default_rng(seed))
    return model


def _add_weights(graph: GraphProto, generator: Generator) -> None:
    """Replace the nodes that stand for weights, constants of a given shape, by weights."""
    fillers = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    users = dict(_users(graph))
    is_residual = any(node.op_type == "Sum" for node in graph.node)
    centres = CENTRES | ({VARIANCE: RESIDUAL_VARIANCE} if is_residual else {})
    for node in fillers:
        shape = tuple(int(extent) for extent in shapes[node.input[0]])
        weights = _weights(shape, centres.get(users[node.output[0]], 0.0), generator)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        graph.node.remove(node)
    unused = {node.input[0] for node in fillers}
    for listed in (graph.initializer, graph.input):
        for entry in [entry for entry in listed if entry.name in unused]:
            listed.remove(entry)


def _users(graph: GraphProto) -> Iterator[tuple[str, tuple[str, int]]]:
    """By the name of a tensor, the operator that takes it, and as which operand; behind Unsqueeze if that is one."""
    takers = {name: (node, i) for node in graph.node for i, name in enumerate(node.input)}
    for name in takers:
        node, i = takers[name]
        while node.op_type == "Unsqueeze":
            node, i = takers[node.output[0]]
        yield name, (node.op_type, i)


def _weights(shape: tuple[int, ...], centre: float, generator: Generator) -> Array:
    """A matrix or a kernel, scaled by how many elements go into each sum; or a vector around ``centre``."""
    noise = generator.standard_normal(shape, np.float32)
    if len(shape) > 1:
        return noise * np.float32(math.sqrt(2 / math.prod(shape[1:])))
    return np.float32(centre) + np.float32(SPREAD) * noise
