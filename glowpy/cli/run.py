"""``glowc run``: a model on given inputs."""

from __future__ import annotations

import argparse
from pathlib import Path

from glowpy.cli import options as shared


def add_options(parser: argparse.ArgumentParser) -> None:
    shared.add_model(parser)
    shared.add_inputs(parser)
    parser.add_argument("--random", action="store_true", help="random tensors for the inputs that are not given")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.npz", help="write the outputs")
    parser.add_argument(
        "--expect", type=Path, metavar="FILE.npz", help="compare the outputs; exit code 1 if they differ"
    )
    shared.add_tolerance(parser)
    shared.add_seed(parser)
    shared.add_compiling(parser)
    shared.add_output(parser)


def run(options: argparse.Namespace) -> int:
    """Run the model, and print, write or compare what it gives."""
    from glowpy.cli.comparison import agree, compare_outputs, comparison_facts, comparison_text
    from glowpy.cli.opening import open_model
    from glowpy.cli.progress import Progress
    from glowpy.cli.report import assumed_text, note, show_json, summary
    from glowpy.cli.tensors import read_archive, read_inputs, write_archive
    from glowpy.feeds import bind_open, random_feeds

    progress = Progress(options.quiet)
    model = open_model(options, progress)
    feeds = read_inputs(options.inputs, model.inputs)
    if options.random:
        inputs, assumed = bind_open(model.inputs, feeds)
        note(options, assumed_text(assumed))
        feeds = {**random_feeds(inputs, options.seed), **feeds}
    with progress.phase("running"):
        results = model.run(None, feeds)
    outputs = {spec.name: array for spec, array in zip(model.outputs, results, strict=True)}
    if options.output:
        write_archive(options.output, outputs)
    facts = {"outputs": {name: summary(array) for name, array in outputs.items()}}
    code = 0
    if options.expect:
        differences = compare_outputs(outputs, read_archive(options.expect))
        code = 0 if agree(differences, options.tolerance) else 1
        facts["comparison"] = comparison_facts(differences, options.tolerance)
        note(options, comparison_text(differences, options.tolerance))
    else:
        for name, array in outputs.items():
            note(options, f"{name}: {facts['outputs'][name]['type']}\n{array}")
    if options.json:
        show_json(facts)
    return code
