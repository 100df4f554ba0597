"""The order of the graph passes, why it is this order, and the driver that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from glowpy.passes.attention import FuseAttention
from glowpy.passes.dead import remove_dead_nodes
from glowpy.passes.fold import fold_constants
from glowpy.passes.fuse import Fuse, Fuses
from glowpy.passes.lower import Keeps, Lower
from glowpy.passes.quantized import use_integers
from glowpy.passes.recognition import recognise
from glowpy.passes.regions import simplify_regions
from glowpy.passes.share import share_common_values
from glowpy.passes.simplify import simplify
from glowpy.passes.transposes import turn_regions
from glowpy_ir.errors import UsageError
from glowpy_ir.graph import Graph
from glowpy_ir.rewrite import Pass
from glowpy_ir.text import print_graph
from glowpy_ir.verify import verify


def optimize(
    graph: Graph,
    keeps: Keeps,
    backend_passes: tuple[Pass, ...] = (),
    trace: Trace | None = None,
    fuses: Fuses | None = None,
) -> None:
    """Make ``graph`` what a backend takes: simplified, lowered to primitives, and fused.

    ``keeps`` says which composites the backend has kernels for, ``fuses`` which operators take an epilogue; without
    it nothing is fused. ``backend_passes`` see the graph when it is lowered, and before it is fused.
    """
    run_passes(graph, pipeline(keeps, backend_passes, fuses), trace or Trace())


def pipeline(keeps: Keeps, backend_passes: tuple[Pass, ...] = (), fuses: Fuses | None = None) -> tuple[Pass, ...]:
    """The passes in their order; each has a name of its own."""
    return (
        Pass("dead", remove_dead_nodes),
        Pass("regions", simplify_regions),
        Pass("integers", use_integers),
        Pass("simplify", simplify),
        Pass("share", share_common_values),
        Pass("recognise", recognise),
        Pass("lower", Lower(keeps)),
        Pass("late simplify", simplify),
        Pass("transposes", turn_regions),
        Pass("late share", share_common_values),
        Pass("late regions", simplify_regions),
        Pass("last simplify", simplify),
        *backend_passes,
        Pass("fold", fold_constants),
        Pass("last share", share_common_values),
        *([Pass("fuse", Fuse(fuses)), Pass("attention", FuseAttention(keeps))] if fuses else []),
        Pass("last dead", remove_dead_nodes),
    )


ORDER = (
    ("dead", "simplify", "what a dead node takes too seems to be used twice, which forbids most rules"),
    ("dead", "regions", "what a region computes in vain seems to need captures"),
    ("regions", "simplify", "a region knows its constants only when they are in it"),
    ("late simplify", "late regions", "a condition, or what is captured, may have become constant"),
    ("late regions", "last simplify", "what came into a region, or out of it, has new neighbours"),
    ("integers", "simplify", "folding makes floats of integer weights that are dequantized"),
    ("simplify", "lower", "whole operators tell more than their parts, and less is left to lower"),
    ("share", "lower", "equal composites are found at one look"),
    ("share", "recognise", "what is spelled out takes one value several times, which may have been computed twice"),
    ("recognise", "lower", "lowering spells out what a backend does not have"),
    ("lower", "late simplify", "batch normalisation becomes a product and a sum, which convolutions absorb"),
    ("late simplify", "transposes", "absorbed operators do not stand between a convolution and its transposes"),
    ("lower", "late share", "expansions of two operators often have parts in common"),
    ("transposes", "last simplify", "convolutions meet their biases and factors when no transpose is between them"),
    ("late share", "last simplify", "twins that became one may be the two operands of one operator"),
    ("fold", "last share", "equal weights that a backend packed alike are one"),
    ("last share", "fuse", "a body hides what it computes from a comparison with others"),
    ("fuse", "attention", "what happens to scores before the softmax is one body, whatever it is"),
    ("fuse", "last dead", "splats that moved into bodies have no uses left"),
)
"""Which pass must come before which other, and why."""


def check_order(names: Iterable[str], order: Iterable[tuple[str, str, str]]) -> None:
    """Raise ValueError if passes of these names, one after the other, break the order."""
    place = {name: i for i, name in enumerate(names)}
    for before, after, why in order:
        if place[before] >= place[after]:
            raise ValueError(f"pass '{before}' must come before '{after}': {why}")


@dataclass
class Trace:
    """What to watch while passes run, and how long each took."""

    check: bool = False
    """Verify the graph after each pass that changed it."""
    show: Callable[[str, str], None] | None = None
    """Called with the name of a pass and the text of the graph when the pass has changed it."""
    only: str | None = None
    """The pass after which to show the graph; None: each."""
    stop_after: str | None = None
    """The pass after which to stop; None: run all."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each pass took, verification not included."""

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to that of ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start


def run_passes(graph: Graph, passes: Sequence[Pass], trace: Trace) -> None:
    """Run the passes in order, on the regions of nodes before the graph around them.

    An error gets a note with the pass and the graph; UsageError for an unknown pass.
    """
    names = [step.name for step in passes]
    for wanted in (trace.only, trace.stop_after):
        if wanted is not None and wanted not in names:
            raise UsageError(f"no pass '{wanted}'; there are: {', '.join(names)}")
    for step in passes:
        try:
            with trace.timed(step.name):
                changed = _run(step, graph)
            if changed and trace.check:
                verify(graph)
        except Exception as error:
            error.add_note(f"in pass '{step.name}', which left this graph:\n{print_graph(graph)}")
            raise
        if changed and trace.show and trace.only in (None, step.name):
            trace.show(step.name, print_graph(graph))
        if step.name == trace.stop_after:
            return


def _run(step: Pass, graph: Graph) -> bool:
    nested = [_run(step, region) for node in graph.nodes for region in node.regions]
    return step.run(graph) or any(nested)
