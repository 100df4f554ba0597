"""From a graph to something that runs: the passes, the program, the backend."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy.options import Options
from glowpy.pipeline import Trace, optimize
from glowpy.program.pipeline import build_program
from glowpy.program.plan import MemoryPlan
from glowpy_backends.base import Backend, Executable, backend_class
from glowpy_ir.graph import Graph
from glowpy_ir.program import Program

CODE_GENERATION = "code generation"
"""What the last phase is called in a trace."""


@dataclass(frozen=True)
class Compiled:
    """What became of a graph."""

    graph: Graph
    program: Program
    memory: MemoryPlan
    executable: Executable


def lower_graph(graph: Graph, options: Options, trace: Trace) -> Backend:
    """Optimise a graph and lower it in place for a backend, which is the answer."""
    backend = backend_class(options.backend)(options.for_backend())
    optimize(graph, backend.keeps, backend.passes(), trace, backend.fuses)
    return backend


def compile_graph(graph: Graph, options: Options, trace: Trace | None = None) -> Compiled:
    """Code for a graph whose dimensions are all known; the graph is optimised and lowered in place.

    Raises Unsupported, or Findings, for what the backend cannot compile.
    """
    trace = trace or Trace()
    backend = lower_graph(graph, options, trace)
    program, memory = build_program(graph, backend, trace)
    with trace.timed(CODE_GENERATION):
        executable = backend.compile(program)
    return Compiled(graph, program, memory, executable)
