"""Opens what the command line calls a model: an ONNX file, or a folder that ``glowc -o`` wrote."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from glowpy.api import from_source, load
from glowpy.cli.progress import Progress
from glowpy.cli.report import assumed_text
from glowpy.cli.tensors import read_named
from glowpy.feeds import Shapes
from glowpy.model import Model
from glowpy.onnx.parts import Part
from glowpy.options import Options
from glowpy.source import Source, open_source
from glowpy_ir.errors import Findings


def compiler_options(options: argparse.Namespace) -> Options:
    """How the command line wants code to be generated."""
    return Options(
        backend=options.backend,
        threads=options.threads,
        target=options.target,
        exact=options.exact,
        flush_denormals=options.flush_denormals,
        cache=options.cache_dir,
    )


def read_source(options: argparse.Namespace) -> Source:
    """The model, read but not compiled."""
    return open_source(options.model, dict(options.dim), dict(options.shape), read_named(options.value))


def import_first(source: Source, shapes: Shapes, assumed: Mapping[str, int]) -> Part:
    """What can be compiled for inputs of these shapes before the model has run; Findings if that is nothing.

    The last finding also tells which extents nobody chose.
    """
    try:
        part = next(source.parts_for(shapes))
        if part.results is None and not part.gives:
            source.graph_for(shapes)  # tells what has to be known first
        return part
    except Findings as error:
        if not assumed:
            raise
        last = error.findings[-1]
        last.args = (f"{last.args[0]}; {assumed_text(assumed)}",)
        raise Findings(str(error).partition("\n")[0], error.findings) from None


def open_model(options: argparse.Namespace, progress: Progress) -> Model:
    """The model, ready to be run; compiled already if its dimensions are known."""
    if Path(options.model).is_dir():
        with progress.phase("loading"):
            return load(options.model, threads=options.threads)
    with progress.phase("compiling"):
        return from_source(read_source(options), compiler_options(options))
