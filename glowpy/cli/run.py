"""``glowc run``: a model on given inputs."""

from __future__ import annotations

import argparse
from typing import Any

from glowpy.cli.comparison import agree, compare_outputs, comparison_facts, comparison_text
from glowpy.cli.opening import open_model
from glowpy.cli.progress import Progress
from glowpy.cli.report import assumed_text, note, show_json, summary
from glowpy.cli.tensors import read_archive, read_inputs, write_archive
from glowpy.feeds import bind_open, random_feeds
from glowpy.specialise import flat_outputs


def run(options: argparse.Namespace) -> int:
    """Run the model, and print, write or compare what it gives; 1 if that is not what is expected."""
    progress = Progress(options.quiet)
    model = open_model(options, progress)
    feeds = read_inputs(options.inputs, model.inputs)
    if options.random:
        inputs, assumed = bind_open(model.inputs, feeds)
        note(options, assumed_text(assumed))
        feeds = {**random_feeds(inputs, options.seed), **feeds}
    with progress.phase("running"):
        results = model.run(None, feeds)
    outputs = flat_outputs(model.outputs, results)
    facts: dict[str, Any] = {"outputs": {name: summary(array) for name, array in outputs.items()}}
    code = 0
    if options.expect:
        differences = compare_outputs(outputs, read_archive(options.expect))
        code = 0 if agree(differences, options.tolerance) else 1
        facts["comparison"] = comparison_facts(differences, options.tolerance)
        note(options, comparison_text(differences, options.tolerance))
    else:
        for name, array in outputs.items():
            note(options, f"{name}: {facts['outputs'][name]['type']}\n{array}")
    if options.output:
        write_archive(options.output, outputs)
    if options.json:
        show_json(facts)
    return code
