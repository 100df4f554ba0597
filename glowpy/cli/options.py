"""The grammar of the command line: the verbs, their options, and how values are read. Imports nothing heavy."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

EXIT_CODES = "exit codes: 0 done, 1 mismatch, 2 wrong usage, 3 bad model, 4 not supported, 5 internal error"
STAGES = ("graph", "lowered", "dot", "program", "llvm", "asm")
ORACLES = ("interpreter", "onnxruntime")


@dataclass(frozen=True)
class Verb:
    """Something that ``glowc`` does: ``run`` of the module ``glowpy.cli.<name>``, with these options."""

    name: str
    help: str
    options: Sequence[Callable[[argparse.ArgumentParser], None]]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, its verb as ``verb``; ends the process with code 2 if they do not fit."""
    named = bool(arguments) and arguments[0] in VERBS
    verb = VERBS[arguments[0]] if named else VERBS[DEFAULT]
    options = _parser(verb, named).parse_intermixed_args(arguments[1:] if named else arguments)
    options.verb = verb.name
    return options


def _parser(verb: Verb, named: bool) -> argparse.ArgumentParser:
    """The parser of one verb; without a verb on the command line, its help tells of the others."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {other.name.ljust(width)}  {other.help}" for other in VERBS.values())
    parser = argparse.ArgumentParser(
        prog=f"glowc {verb.name}" if named else "glowc",
        description=verb.help,
        epilog=EXIT_CODES if named else f"verbs (glowc VERB --help):\n{verbs}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for add in verb.options:
        add(parser)
    return parser


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="an ONNX file; or onnx:NAME, a network of the onnx package")
    group = parser.add_argument_group("what the model leaves open")
    group.add_argument("--dim", type=dim, action="append", default=[], metavar="NAME=N", help="the extent of a symbol")
    group.add_argument(
        "--shape", type=shape, action="append", default=[], metavar="INPUT=1x3x9", help="the shape of an input"
    )
    group.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="INPUT=i64=7",
        help="fix an input to a tensor, known when compiling",
    )


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="x=@file.npy, x=1x3x224x224xf32=1 (one element for all, or all elements), or @file.npz for several inputs",
    )


def _seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of random inputs (default 0)")


def _tolerance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        metavar="T",
        help="the largest error allowed, as a fraction of the range of the expected elements (default 1e-4)",
    )


def _compiling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("code generation")
    add = group.add_argument
    add("--backend", default="cpu", metavar="NAME", help="cpu (default), interpreter, or another that is installed")
    add("--threads", type=positive, metavar="N", help="default: as many as the process has cores")
    add("--target", metavar="T", help="instruction set: host (default), avx512, avx2, sse2")
    add("--exact", action="store_true", help="no algorithm that rounds worse than the definition")
    add("--flush-denormals", action="store_true", help="treat numbers below the normal range as zero")
    add("--cache-dir", type=Path, metavar="DIR", help="where generated code is kept between runs")


def _messages(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("messages")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; -vv: tracebacks of errors")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    group.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write the code; glowc run DIR runs it")
    group = parser.add_argument_group("looking inside")
    group.add_argument("--emit", choices=STAGES, metavar="STAGE", help=f"print only this: {', '.join(STAGES)}")
    group.add_argument("--dump", type=Path, metavar="DIR", help="write all of these, and the graph after each pass")
    group.add_argument("--print-after", metavar="PASS", help="print the graph when this pass (or: all) has changed it")
    group.add_argument("--stop-after", metavar="PASS", help="print the graph after this pass, and do no more")


def _run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--random", action="store_true", help="random tensors for the inputs that are not given")
    add("-o", "--output", type=Path, metavar="FILE.npz", help="write the outputs")
    add("--expect", type=Path, metavar="FILE.npz", help="compare with these outputs; exit code 1 if they differ")


def _bench(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seconds", type=float, default=3.0, metavar="S", help="how long to measure (default 3)")
    add("--repeat", type=positive, metavar="N", help="measure so many inferences, however long they take")
    add("--warmup", type=natural, default=3, metavar="N", help="inferences before these (default 3)")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against",
        action="append",
        choices=ORACLES,
        metavar="NAME",
        help=f"what to compare with: {' or '.join(ORACLES)}; may be given twice (default: {ORACLES[0]})",
    )


def natural(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def positive(text: str) -> int:
    """A whole number above 0."""
    if natural(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
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


_VERBS = (
    Verb(
        "compile",
        "Compile a model, say what was done, and with -o write the code (the verb may be left out).",
        (_model, _compile, _compiling, _seed, _messages),
    ),
    Verb(
        "run",
        "Run a model on given inputs.",
        (_model, _inputs, _run, _tolerance, _compiling, _seed, _messages),
    ),
    Verb(
        "bench",
        "Measure how long an inference takes.",
        (_model, _inputs, _bench, _compiling, _seed, _messages),
    ),
    Verb(
        "inspect",
        "Say what is in a model, and all that stands in the way of compiling it.",
        (_model, _messages),
    ),
    Verb(
        "verify",
        "Compare what a backend computes with the interpreter, or with ONNX Runtime.",
        (_model, _inputs, _verify, _tolerance, _compiling, _seed, _messages),
    ),
)
DEFAULT = "compile"
VERBS = {verb.name: verb for verb in _VERBS}
"""What the command line can do, in the order of the help."""
