"""``glowc bench``: how long one inference takes."""

from __future__ import annotations

import argparse
import statistics
import time

from glowpy.cli import options as shared


def add_options(parser: argparse.ArgumentParser) -> None:
    shared.add_model(parser)
    shared.add_inputs(parser)
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="how long to measure (default 3)")
    parser.add_argument(
        "--repeat", type=shared.positive, metavar="N", help="so many inferences, however long they take"
    )
    parser.add_argument("--warmup", type=shared.positive, default=3, metavar="N", help="inferences before (default 3)")
    shared.add_seed(parser)
    shared.add_compiling(parser)
    shared.add_output(parser)


def run(options: argparse.Namespace) -> int:
    """Time the model on the given inputs, random where none are given."""
    import numpy as np

    from glowpy.cli.opening import open_model
    from glowpy.cli.progress import Progress
    from glowpy.cli.report import assumed_text, note, show_json
    from glowpy.cli.table import duration
    from glowpy.cli.tensors import read_inputs
    from glowpy.feeds import bind_open, random_feeds

    progress = Progress(options.quiet)
    model = open_model(options, progress)
    given = read_inputs(options.inputs, model.inputs)
    inputs, assumed = bind_open(model.inputs, given)
    note(options, assumed_text(assumed))
    feeds = {**random_feeds(inputs, options.seed), **given}
    with progress.phase("warming up"):
        for _ in range(options.warmup):
            model.run(None, feeds)
    seconds: list[float] = []
    with progress.phase("measuring"):
        end = time.perf_counter() + options.seconds
        while len(seconds) < options.repeat if options.repeat else not seconds or time.perf_counter() < end:
            start = time.perf_counter()
            model.run(None, feeds)
            seconds.append(time.perf_counter() - start)
    p10, median, p90, p99 = (float(value) for value in np.percentile(seconds, (10, 50, 90, 99)))
    facts = {
        "inferences": len(seconds),
        "median": median,
        "min": min(seconds),
        "p10": p10,
        "p90": p90,
        "p99": p99,
        "mean": statistics.fmean(seconds),
    }
    if options.json:
        show_json({"model": model.name, "backend": model.backend, "seconds": facts})
    spread = ", ".join(f"{name} {duration(facts[name])}" for name in ("min", "p10", "p90", "p99"))
    note(options, f"{duration(median)} an inference (median of {len(seconds)}; {spread}), {1 / median:.4g} a second")
    return 0
