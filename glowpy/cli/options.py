"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glowpy.compiler import Options


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model, and the extents of its dimensions."""
    parser.add_argument("model", metavar="MODEL", help="an ONNX file; or onnx:NAME, a network of the onnx package")
    group = parser.add_argument_group("dimensions that the model leaves open")
    group.add_argument("--dim", type=dim, action="append", default=[], metavar="NAME=N", help="the extent of a symbol")
    group.add_argument(
        "--shape", type=shape, action="append", default=[], metavar="INPUT=1x3x9", help="the shape of an input"
    )


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Tensors for the model's inputs."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="x=@file.npy, x=1x3x224x224xf32=1 (one element for all, or all elements), or @file.npz for several inputs",
    )


def add_tolerance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        metavar="T",
        help="the largest error allowed, as a fraction of the range of the expected elements (default 1e-4)",
    )


def add_compiling(parser: argparse.ArgumentParser) -> None:
    """How code is generated."""
    group = parser.add_argument_group("code generation")
    group.add_argument(
        "--backend", default="cpu", metavar="NAME", help="cpu (default), interpreter, or another that is installed"
    )
    group.add_argument("--threads", type=positive, metavar="N", help="default: as many as the process has cores")
    group.add_argument("--target", metavar="T", help="instruction set: host (default), avx512, avx2, sse2")
    group.add_argument("--exact", action="store_true", help="no algorithm that rounds worse than the definition")
    group.add_argument("--flush-denormals", action="store_true", help="treat numbers below the normal range as zero")
    group.add_argument("--cache-dir", type=Path, metavar="DIR", help="where generated code is kept between runs")


def add_output(parser: argparse.ArgumentParser) -> None:
    """How much is said, and in what form."""
    group = parser.add_argument_group("messages")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; -vv: tracebacks of errors")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    group.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of random inputs (default 0)")


def compiler_options(options: argparse.Namespace) -> Options:
    """What ``add_compiling`` read, as the compiler wants it."""
    from glowpy.compiler import Options

    return Options(
        backend=options.backend,
        threads=options.threads,
        target=options.target,
        exact=options.exact,
        flush_denormals=options.flush_denormals,
        cache=options.cache_dir,
    )


def positive(text: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def dim(text: str) -> tuple[str, int]:
    """``batch=1``"""
    name, _, extent = text.rpartition("=")
    if not name or not re.fullmatch(r"[0-9]{1,18}", extent):
        raise argparse.ArgumentTypeError(f"expected NAME=N such as batch=1, got {text!r}")
    return name, int(extent)


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``x=1x3x224x224``, or ``x=`` for a scalar; the name of the input may contain ``=``."""
    name, _, extents = text.rpartition("=")
    if not name or not re.fullmatch(r"([0-9]{1,18}(x[0-9]{1,18})*)?", extents):
        raise argparse.ArgumentTypeError(f"expected INPUT=SHAPE such as x=1x3x224x224, got {text!r}")
    return name, tuple(map(int, extents.split("x"))) if extents else ()
