"""``glowc verify``: whether a backend computes what it should."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from glowpy.api import from_source
from glowpy.cli.comparison import agree, compare_outputs, comparison_facts, comparison_text
from glowpy.cli.opening import compiler_options, read_source
from glowpy.cli.options import ORACLES
from glowpy.cli.progress import Progress
from glowpy.cli.report import assumed_text, note, show_json
from glowpy.cli.tensors import read_inputs
from glowpy.compare import Difference
from glowpy.feeds import bind_open, check_arrays, random_feeds
from glowpy.options import Options
from glowpy.source import Source, for_others
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
        found: dict[str, dict[str, Difference]] = {}
        for how, expect in _sessions(oracle, source, options.model, feeds).items():
            with progress.phase(f"running on {oracle}{how}"):
                found[how] = compare_outputs(made, flat_outputs(source.outputs, expect()))
            if agree(found[how], options.tolerance):
                break
        how = min(found, key=lambda name: max(difference.relative for difference in found[name].values()))
        facts[oracle] = comparison_facts(found[how], options.tolerance) | ({"session": how[2:]} if how else {})
        note(options, f"{options.backend} against {oracle}{how}\n{comparison_text(found[how], options.tolerance)}")
    if options.json:
        show_json(facts)
    return 0 if all(comparison["agrees"] for comparison in facts.values()) else 1


def _sessions(
    oracle: str, source: Source, model: str, feeds: Mapping[str, Array]
) -> Mapping[str, Callable[[], list[Output]]]:
    """The ways in which an oracle computes a model; to agree with one of them is enough.

    ONNX Runtime rounds otherwise where it computes quantized operators on integers, which its optimizer decides.
    """
    if oracle == "interpreter":
        return {"": lambda: from_source(source, Options(backend=oracle)).run(None, feeds)}
    return {
        ", as the model stands": lambda: _onnxruntime(model, feeds, "ORT_DISABLE_ALL"),
        ", optimized": lambda: _onnxruntime(model, feeds, "ORT_ENABLE_ALL"),
    }


def _onnxruntime(model: str, feeds: Mapping[str, Array], level: str) -> list[Output]:
    """What ONNX Runtime makes of the model, with the optimizations of a level."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("ONNX Runtime is not installed; pip install onnxruntime") from None
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    try:
        session = onnxruntime.InferenceSession(for_others(model), settings, providers=["CPUExecutionProvider"])
        return list(session.run(None, dict(feeds)))
    except Exception as error:  # its own exceptions have no common root
        raise Unsupported(f"ONNX Runtime cannot run the model: {error}") from None
