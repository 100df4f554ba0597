"""From a graph to something that runs: the passes, the program, the backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glowpy.pipeline import Trace, optimize
from glowpy.program.memory import MemoryPlan
from glowpy.program.pipeline import build_program
from glowpy_backends.base import Backend, BackendOptions, Executable, backend_class
from glowpy_ir.graph import Graph
from glowpy_ir.program import Program


@dataclass(frozen=True)
class Options:
    """What a user may choose when compiling; see ``BackendOptions`` for what it means."""

    backend: str = "cpu"
    threads: int | None = None
    target: str | None = None
    exact: bool = False
    flush_denormals: bool = False
    cache: Path | None = None

    def make_backend(self) -> Backend:
        """The backend with these options; UsageError or Unsupported if there is none."""
        options = BackendOptions(self.threads, self.target, self.exact, self.flush_denormals, self.cache)
        return backend_class(self.backend)(options)


@dataclass(frozen=True)
class Compiled:
    """What became of a graph."""

    graph: Graph
    program: Program
    memory: MemoryPlan
    executable: Executable


def compile_graph(graph: Graph, options: Options, trace: Trace | None = None) -> Compiled:
    """Code for a graph whose dimensions are all known; the graph is optimised and lowered in place.

    Raises Unsupported, or Findings, for what the backend cannot compile.
    """
    backend = options.make_backend()
    trace = trace or Trace()
    optimize(graph, backend.keeps, backend.passes(), trace, backend.fuses)
    program, memory = build_program(graph, backend, trace)
    with trace.timed("code generation"):
        executable = backend.compile(program)
    return Compiled(graph, program, memory, executable)
