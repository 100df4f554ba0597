"""Opens what the command line calls a model: an ONNX file, or a folder that ``glowc -o`` wrote."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glowpy.cli.options import compiler_options
from glowpy.cli.progress import Progress

if TYPE_CHECKING:
    from glowpy.model import Model


def open_model(options: argparse.Namespace, progress: Progress) -> Model:
    """The model, compiled if its dimensions are known, and ready to be run."""
    from glowpy.api import from_source, load
    from glowpy.source import open_source

    if Path(options.model).is_dir():
        with progress.phase("loading"):
            return load(options.model, threads=options.threads)
    with progress.phase("reading"):
        source = open_source(options.model, dict(options.dim), dict(options.shape))
    with progress.phase("compiling"):
        return from_source(source, compiler_options(options))
