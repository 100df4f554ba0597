"""The stages between a model and its code, as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glowpy.compiler import Compiled, compile_graph, lower_graph
from glowpy.files import writing_folder
from glowpy.options import Options
from glowpy.pipeline import Trace
from glowpy.program.pipeline import build_program
from glowpy_ir.dot import to_dot
from glowpy_ir.errors import UsageError
from glowpy_ir.graph import Graph
from glowpy_ir.program_text import print_program
from glowpy_ir.text import print_graph

LISTINGS = {"llvm": "code.ll", "asm": "code.s"}
"""What a backend may be able to list, and the file of a dump that holds it."""

MARKER = "graph.txt"


def emit(form: str, graph: Graph, options: Options, trace: Trace) -> str:
    """One stage of ``graph``: graph, lowered, dot, program, llvm or asm."""
    match form:
        case "graph":
            return print_graph(graph)
        case "lowered":
            return print_graph(_lowered(graph, options, trace))
        case "dot":
            return to_dot(_lowered(graph, options, trace))
        case "program":
            program, _ = build_program(graph, lower_graph(graph, options, trace), trace)
            return print_program(program)
    return compile_graph(graph, options, trace).executable.listing(form) + "\n"


def dump(graph: Graph, folder: Path, options: Options, trace: Trace) -> Compiled:
    """Compile ``graph`` and write every stage into a folder, the graph after each pass that changed it among them."""
    with writing_folder(folder, MARKER) as partial:
        (partial / MARKER).write_text(print_graph(graph))
        trace.show = _numbered(partial)
        compiled = compile_graph(graph, options, trace)
        (partial / "lowered.txt").write_text(print_graph(compiled.graph))
        (partial / "lowered.dot").write_text(to_dot(compiled.graph))
        (partial / "program.txt").write_text(print_program(compiled.program))
        for form, name in LISTINGS.items():
            try:
                (partial / name).write_text(compiled.executable.listing(form))
            except UsageError:  # not every backend generates code
                continue
    return compiled


def _lowered(graph: Graph, options: Options, trace: Trace) -> Graph:
    lower_graph(graph, options, trace)
    return graph


def _numbered(folder: Path) -> Callable[[str, str], None]:
    """Writes what it is called with into files that are numbered in order."""

    def write(name: str, text: str) -> None:
        number = len(list(folder.glob("graph-*")))
        (folder / f"graph-{number:02}-{name.replace(' ', '-')}.txt").write_text(text)

    return write


def print_stage(name: str, text: str) -> None:
    """Show the graph after a pass."""
    print(f"// after {name}\n{text}", flush=True)
