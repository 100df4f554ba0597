"""``glowc MODEL``: compiles a model, times the code on random inputs, and says what was done."""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from typing import Any

from glowpy.api import from_source
from glowpy.artifact import IN_PARTS, MANIFEST
from glowpy.cli.opening import compiler_options, import_first, read_source
from glowpy.cli.progress import Progress
from glowpy.cli.report import assumed_text, note, show_json
from glowpy.cli.stages import MARKER, dump, emit, print_stage
from glowpy.cli.table import duration, plural, render, size
from glowpy.compiler import CODE_GENERATION, Compiled, compile_graph
from glowpy.feeds import bind_open, random_feeds
from glowpy.files import check_folder
from glowpy.model import Model
from glowpy.pipeline import Trace
from glowpy.specialise import Specialisation, Specialisations
from glowpy_ir.errors import GlowError, UsageError
from glowpy_ir.op import Op
from glowpy_ir.ops.fused import Fused
from glowpy_ir.program import Compute, Instruction

TRIAL_SECONDS, MOST_TRIALS = 0.5, 50
"""How long the code runs to be timed, and how often at most."""


def run(options: argparse.Namespace) -> int:
    """Compile, and print what is asked for."""
    for folder, marker in ((options.output, MANIFEST), (options.dump, MARKER)):
        if folder:
            check_folder(folder, marker)
    progress = Progress(options.quiet)
    with progress.phase("import"):
        source = read_source(options)
        inputs, assumed = bind_open(source.inputs, {})
        shapes = tuple(spec.type.extents for spec in inputs)
        part = import_first(source, shapes, assumed)
    graph, whole = part.graph, part.results == part.gives
    if options.output and not whole:
        raise UsageError(IN_PARTS)
    outputs = list(map(str, source.outputs))
    if whole:
        outputs = [f"{spec.name}: {value.type}" for spec, value in zip(source.outputs, graph.outputs, strict=True)]
    facts: dict[str, Any] = {
        "model": source.name,
        "assumed": assumed,
        "inputs": {spec.name: str(spec.type) for spec in inputs},
        "outputs": dict(text.split(": ", 1) for text in outputs),
        "whole": whole,
        "operators": sum(1 for _ in graph.nodes),
        "parameters": sum(constant.type.count for constant in graph.constants),
    }
    only = None if options.print_after == "all" else options.print_after
    trace = Trace(show=print_stage if options.print_after else None, only=only, stop_after=options.stop_after)
    chosen = compiler_options(options)
    if options.emit or options.stop_after:
        print(emit("lowered" if options.stop_after else options.emit, graph, chosen, trace), end="")
        return 0
    note(options, assumed_text(assumed))
    with progress.phase("compile"):
        compiled = dump(graph, options.dump, chosen, trace) if options.dump else compile_graph(graph, chosen, trace)
    if whole:
        programs = Specialisations({shapes: Specialisation.of(compiled)})
        model = Model(source.name, options.backend, inputs, source.outputs, programs)
    else:
        model = from_source(source, chosen)
    facts |= _compiled_facts(compiled) | {"seconds": {"import": progress.seconds["import"]} | trace.seconds}
    if options.output:
        model.save(options.output)
    if options.quiet and not options.json:
        return 0
    with progress.phase("run"):
        try:
            facts["inference"] = _trial(model, options.seed)
        except GlowError as error:
            if whole:
                raise
            facts["inference"] = str(error)  # random inputs are not what the model decides on
    if options.json:
        show_json(facts)
    note(options, _text(facts, options))
    return 0


def _compiled_facts(compiled: Compiled) -> dict[str, Any]:
    memory = compiled.memory
    names = Counter(_name(instruction) for part in compiled.program.programs() for instruction in part.instructions)
    return {
        "instructions": dict(names.most_common()),
        "memory": {"arena": memory.arena, "live_peak": memory.live_peak, "weights": memory.weights},
    }


def _name(instruction: Instruction) -> str:
    """What an instruction mainly does; steps that are fused to it do not count."""
    match instruction:
        case Compute(op=Fused(head=None)):
            return "element-wise"
        case Compute(op=Fused(head=Op() as head)):
            return head.name
        case Compute(op=op):
            return op.name
    return "zero halo"


def _trial(model: Model, seed: int) -> dict[str, Any]:
    """How long an inference takes, in seconds; the first, which touches all memory for the first time, is its own."""
    feeds = random_feeds(bind_open(model.inputs, {})[0], seed)
    seconds: list[float] = []
    while not seconds or (len(seconds) < MOST_TRIALS and sum(seconds) < TRIAL_SECONDS):
        start = time.perf_counter()
        model.run(None, feeds)
        seconds.append(time.perf_counter() - start)
    first, *others = seconds
    return {"first": first, "median": statistics.median(others or seconds), "count": len(others) or 1}


def _times(seconds: dict[str, float]) -> str:
    """How long it all took, and the two parts that take longest in many models."""
    parts = (f"{name} {duration(seconds[name])}" for name in ("import", CODE_GENERATION))
    return f"{duration(sum(seconds.values()))} ({', '.join(parts)})"


def _speed(inference: dict[str, Any] | str) -> str:
    if isinstance(inference, str):
        return f"not measured, since random inputs do not fit: {inference}"
    return f"{duration(inference['median'])} an inference (median of {inference['count']}, random inputs)"


def _text(facts: dict[str, Any], options: argparse.Namespace) -> str:
    """The report for people."""
    memory, inference, seconds = facts["memory"], facts["inference"], facts["seconds"]
    ratio = memory["arena"] / memory["live_peak"] if memory["live_peak"] else 1.0
    instructions = sum(facts["instructions"].values())
    rows = [
        *(("input", f"{name}: {type}") for name, type in facts["inputs"].items()),
        *(("output", f"{name}: {type}") for name, type in facts["outputs"].items()),
        ("imported", f"{plural(facts['operators'], 'operator')}, {facts['parameters']:,} parameters"),
        ("compiled", f"{plural(instructions, 'instruction')} for {options.backend} in {_times(seconds)}"),
        (
            "memory",
            f"{size(memory['arena'])} for activations ({ratio:.2f} of the least possible), "
            f"{size(memory['weights'])} of weights",
        ),
        ("speed", _speed(inference)),
    ]
    if not facts["whole"]:
        rows.insert(-2, ("parts", "this is the first; what follows is compiled when the model runs, as data decide"))
    if options.output:
        rows.append(("written", f"{options.output} (run it with: glowc run {options.output} --random)"))
    if options.dump:
        rows.append(("written", f"{options.dump}, all stages as text"))
    text = f"{facts['model']}\n{render(rows, indent='  ')}"
    if options.verbose:
        passes = [(f"{1e3 * taken:.1f}", name) for name, taken in seconds.items()]
        counts = [(str(count), name) for name, count in facts["instructions"].items()]
        text += f"\n{render(passes, ('ms', 'phase'), '  ')}\n{render(counts, ('count', 'instruction'), '  ')}"
    return text
