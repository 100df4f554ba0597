"""Opens what the command line calls a model: an ONNX file, or a folder that ``glowc -o`` wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

from glowpy.api import from_source, load
from glowpy.cli.progress import Progress
from glowpy.cli.tensors import read_named
from glowpy.model import Model
from glowpy.options import Options
from glowpy.source import Source, open_source


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


def open_model(options: argparse.Namespace, progress: Progress) -> Model:
    """The model, ready to be run; compiled already if its dimensions are known."""
    if Path(options.model).is_dir():
        with progress.phase("loading"):
            return load(options.model, threads=options.threads)
    with progress.phase("compiling"):
        return from_source(read_source(options), compiler_options(options))
