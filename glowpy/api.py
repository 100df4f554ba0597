"""The front door: ``glowpy.compile`` and ``glowpy.load``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glowpy.artifact import read_artifact
from glowpy.feeds import Shapes
from glowpy.lengths import Lengths
from glowpy.model import Model
from glowpy.model_cache import ModelCache
from glowpy.options import Options
from glowpy.specialise import Runnable, Specialisation, Specialisations
from glowpy_backends.base import BackendOptions

if TYPE_CHECKING:
    from onnx import ModelProto

    from glowpy.source import Source
    from glowpy_ir.graph import Graph


def compile(
    model: str | os.PathLike[str] | bytes | ModelProto | Graph,
    *,
    backend: str = "cpu",
    threads: int | None = None,
    target: str | None = None,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, object] | None = None,
    bounds: Mapping[str, int] | None = None,
    exact: bool = False,
    flush_denormals: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Model:
    """Compile an ONNX model: a path, ``onnx:NAME``, the bytes of a file, a ModelProto; or a graph of ``glowpy_ir``.

    ``dims`` binds symbolic dimensions by name, ``shapes`` the shapes of inputs, and ``values`` whole inputs, which the
    model then takes no longer. If all dimensions are known, code is generated now, else on the first call with inputs
    of new shapes. ``bounds`` names a dimension that grows from call to call, such as the past of a decoder, and says
    how far: one program serves all its extents then (see ``lengths``, which also says what is found without it).

    ``threads`` is how many work on one inference (None: as many as the process has cores), ``target`` the instruction
    set (None: this machine's). With ``exact`` no algorithm is used that rounds worse than the definition;
    ``flush_denormals`` treats numbers below the normal range as zero.

    Raises UsageError for options that do not fit, BadModel for a model that is none, Unsupported for what cannot be
    compiled, and Findings if there are several such faults.
    """
    cache = None if cache_dir is None else Path(cache_dir)
    options = Options(backend, threads, target, exact, flush_denormals, cache)
    fixed = {name: np.asarray(value) for name, value in (values or {}).items()}
    known = ModelCache.of(model, options, dims or {}, shapes or {}, fixed)
    if known is not None and (kept := known.load()) is not None:
        return kept
    from glowpy.source import open_source  # with onnx, which takes longer to import than a known model to load

    source = open_source(model, dims or {}, shapes or {}, fixed)
    compiled = from_source(source, options, bounds)
    if known is not None and source.is_static and source.is_whole and compiled.is_whole:
        known.keep(compiled)
    return compiled


def from_source(source: Source, options: Options, bounds: Mapping[str, int] | None = None) -> Model:
    """The model of a source that is read already."""
    from glowpy.compiler import compile_graph
    from glowpy.onnx.scope import input_key
    from glowpy.staged import Staged

    def build(shapes: Shapes) -> Runnable:
        parts = source.parts_for(shapes)
        first, names = next(parts), [spec.name for spec in source.inputs]
        if first.results == first.gives and first.takes == tuple(map(input_key, names)):
            return compile_part(first.graph)
        return Staged(names, first, parts, lambda: source.parts_for(shapes), compile_part)

    def compile_part(graph: Graph) -> Specialisation:
        return Specialisation.of(compile_graph(graph, options))

    # A model without open dimensions is compiled now, and what was read of its file can go.
    if source.is_static:
        programs = Specialisations({source.shapes: build(source.shapes)})
    else:
        programs = Specialisations({}, build, Lengths.of(source, options, bounds or {}))
    return Model(source.name, options.backend, source.inputs, source.outputs, programs)


def load(folder: str | os.PathLike[str], *, threads: int | None = None) -> Model:
    """The compiled model that ``Model.save`` wrote into ``folder``; UsageError if there is none."""
    artifact = read_artifact(Path(folder), BackendOptions(threads=threads))
    programs = Specialisations(artifact.programs, lengths=Lengths(programs=artifact.growing))
    return Model(artifact.name, artifact.backend, artifact.inputs, artifact.outputs, programs)
