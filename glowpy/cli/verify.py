"""``glowc verify``: whether a backend computes what it should."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from glowpy.api import from_source
from glowpy.cli.comparison import compare_outputs, comparison_facts, comparison_text
from glowpy.cli.opening import compiler_options, read_source
from glowpy.cli.options import ORACLES
from glowpy.cli.progress import Progress
from glowpy.cli.report import assumed_text, note, show_json
from glowpy.cli.tensors import read_inputs
from glowpy.feeds import bind_open, check_arrays, random_feeds
from glowpy.options import Options
from glowpy.source import for_others
from glowpy.specialise import Output, flat_outputs
from glowpy_ir.errors import Unsupported, UsageError
from glowpy_ir.types import Array


def run(options: argparse.Namespace) -> int:
    """Run backend and oracles on the same inputs, random where none are given; 1 if they differ."""
    progress = Progress(options.quiet)
    with progress.phase("reading"):
        source = read_source(options)
    given = read_inputs(options.inputs, source.inputs)
    inputs, assumed = bind_open(source.inputs, given)
    note(options, assumed_text(assumed))
    arrays = check_arrays(inputs, {**random_feeds(inputs, options.seed), **given})
    feeds = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
    with progress.phase(f"running on {options.backend}"):
        made = flat_outputs(source.outputs, from_source(source, compiler_options(options)).run(None, feeds))
    facts: dict[str, Any] = {}
    for oracle in options.against or ORACLES[:1]:
        with progress.phase(f"running on {oracle}"):
            if oracle == "interpreter":
                expected = from_source(source, Options(backend=oracle)).run(None, feeds)
            else:
                expected = _onnxruntime(options.model, feeds)
        differences = compare_outputs(made, flat_outputs(source.outputs, expected))
        facts[oracle] = comparison_facts(differences, options.tolerance)
        note(options, f"{options.backend} against {oracle}\n{comparison_text(differences, options.tolerance)}")
    if options.json:
        show_json(facts)
    return 0 if all(comparison["agrees"] for comparison in facts.values()) else 1


def _onnxruntime(model: str, feeds: Mapping[str, Array]) -> list[Output]:
    """What ONNX Runtime makes of the model, without its own optimizations, which may round otherwise."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("ONNX Runtime is not installed; pip install onnxruntime") from None
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(for_others(model), settings, providers=["CPUExecutionProvider"])
        return list(session.run(None, dict(feeds)))
    except Exception as error:  # its own exceptions have no common root
        raise Unsupported(f"ONNX Runtime cannot run the model: {error}") from None
