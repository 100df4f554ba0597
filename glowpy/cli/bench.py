"""``glowc bench``: how long one inference takes."""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from glowpy.cli.opening import open_model
from glowpy.cli.progress import Progress
from glowpy.cli.report import assumed_text, note, show_json
from glowpy.cli.table import duration
from glowpy.cli.tensors import read_inputs
from glowpy.feeds import bind_open, random_feeds


def run(options: argparse.Namespace) -> int:
    """Time the model on the given inputs, random where none are given."""
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
    facts = _statistics(seconds)
    if options.json:
        show_json({"model": model.name, "backend": model.backend, "inferences": len(seconds), "seconds": facts})
    spread = ", ".join(f"{name} {duration(facts[name])}" for name in ("min", "p10", "p90", "p99"))
    median = facts["median"]
    note(options, f"{duration(median)} an inference (median of {len(seconds)}; {spread}), {1 / median:.4g} a second")
    return 0


def _statistics(seconds: list[float]) -> dict[str, float]:
    p10, median, p90, p99 = (float(value) for value in np.percentile(seconds, (10, 50, 90, 99)))
    mean = statistics.fmean(seconds)
    return {"min": min(seconds), "p10": p10, "median": median, "mean": mean, "p90": p90, "p99": p99}
