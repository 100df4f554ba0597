"""Times glowpy beside other engines: ``python -m benchmarks MODEL... --threads 1,2``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.cases import Case, load_case
from benchmarks.engines import Run, engine_named, version_of
from benchmarks.environment import environment
from benchmarks.measure import measure
from benchmarks.plot import plot
from benchmarks.results import HEADER, Result, rows, save, to_json
from glowpy.cli import options as cli
from glowpy.cli.table import render
from glowpy.compare import worst
from glowpy_ir.errors import GlowError, UsageError
from glowpy_ir.types import Array

REFERENCE = "onnxruntime"
"""The engine whose outputs the others are checked against, if it takes part; else the last one."""

NOTE = (
    "ratio: time / time of the first engine in the same round (above 1: the first is faster), with 10th and 90th "
    "percentile;\nwhere these lie on both sides of 1, the two are equally fast as far as this run can tell."
)


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("models", nargs="+", metavar="MODEL", help="an ONNX file, or onnx:NAME")
    options.add_argument("--engine", default="glowpy", help="the engine that the others are compared with")
    options.add_argument("--against", default="onnxruntime,openvino", metavar="NAMES", help="the other engines")
    options.add_argument("--threads", type=counts, default=[1], metavar="N,...", help="measured one after the other")
    options.add_argument(
        "--rounds", type=cli.positive, default=15, metavar="N", help="how often each engine gets its turn"
    )
    options.add_argument("--slice", type=float, default=0.2, metavar="SECONDS", help="how long one turn is")
    options.add_argument(
        "--dim", type=cli.dim, action="append", default=[], metavar="NAME=N", help="bind a symbolic dimension"
    )
    options.add_argument(
        "--shape", type=cli.shape, action="append", default=[], metavar="INPUT=1x3", help="bind an input's shape"
    )
    options.add_argument("--seed", type=int, default=0, help="of the random inputs")
    options.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw a chart (.svg, .png or .pdf)")
    return options


def counts(text: str) -> list[int]:
    """``1,2``"""
    return [cli.positive(word) for word in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases; 1 if the outputs of two engines differ."""
    options = parser().parse_args(arguments)
    try:
        return benchmark(options)
    except GlowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def benchmark(options: argparse.Namespace) -> int:
    """What the command line asks for; 1 if the outputs of two engines differ."""
    for target in filter(None, (options.json, options.plot)):
        if not target.parent.is_dir():
            raise UsageError(f"{target}: there is no folder {target.parent}")
    if options.plot and find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib; pip install -e '.[bench]'")
    engines = tuple(dict.fromkeys((options.engine, *filter(None, options.against.split(",")))))
    facts = environment() | {name: version_of(name) for name in engines}
    print("\n".join(f"{name:12} {fact}" for name, fact in facts.items()), flush=True)
    results = []
    for model in options.models:
        case = load_case(model, dict(options.dim), dict(options.shape), options.seed)
        for threads in options.threads:
            result = compare(case, threads, engines, options.rounds, options.slice)
            results.append(result)
            print("\n" + render(rows(result), HEADER), flush=True)
            for engine, reason in result.failures.items():
                print(f"{engine} failed: {reason}", flush=True)
            if options.json:
                save(options.json, to_json(results, facts))
    print(f"\n{NOTE}")
    if options.plot:
        plot(results, options.plot, f"{facts['cpu']}, {facts['date'][:10]}")
    return 0 if all(result.agrees for result in results) else 1


def compare(case: Case, threads: int, engines: tuple[str, ...], rounds: int, slice_seconds: float) -> Result:
    """Prepare the engines, check that they agree, and time them together."""
    runs: dict[str, Run] = {}
    outputs: dict[str, list[Array]] = {}
    failures: dict[str, str] = {}
    for name in engines:
        try:
            run = engine_named(name).prepare(case, threads)
            outputs[name] = [array.copy() for array in run()]
            runs[name] = run
        except Exception as error:  # any engine may refuse a model in its own way; the others are measured all the same
            failures[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
    reference = outputs.get(REFERENCE) or next(reversed(outputs.values()), [])
    differences = {name: worst(made, reference).relative for name, made in outputs.items()}
    return Result(case.name, threads, engines, measure(runs, rounds, slice_seconds), differences, failures)


if __name__ == "__main__":
    raise SystemExit(main())
