"""Every file in tests/passes: a graph, the passes to run on it, and the graph to expect.

Each graph also computes the same before and after. ``GLOWPY_UPDATE=1`` writes what came out into the files instead of
comparing. Convolutions and matrix products take epilogues, and Softmax is kept whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from graphs import assert_same_meaning, random_feeds

from glowpy.passes.attention import FuseAttention
from glowpy.passes.dead import remove_dead_nodes
from glowpy.passes.fuse import Fuse
from glowpy.passes.lower import Lower
from glowpy.passes.quantized import use_integers
from glowpy.passes.recognition import recognise
from glowpy.passes.regions import simplify_regions
from glowpy.passes.share import share_common_values
from glowpy.passes.simplify import THEMES, simplify
from glowpy.passes.transposes import turn_regions
from glowpy_ir.evaluate import evaluate
from glowpy_ir.graph import Graph
from glowpy_ir.rewrite import rewrite
from glowpy_ir.text import parse, print_graph
from glowpy_ir.verify import verify

PASSES: dict[str, Callable[[Graph], bool]] = {
    **{name: partial(rewrite, rules=rules) for name, rules in THEMES.items()},
    "simplify": simplify,
    "regions": simplify_regions,
    "share": share_common_values,
    "recognise": recognise,
    "integers": use_integers,
    "lower": Lower(lambda op: op.name == "Softmax"),
    "transposes": turn_regions,
    "fuse": Fuse(lambda op, converts: op.name in ("Conv", "MatMul") and not converts),
    "attention": FuseAttention(lambda op: True),
    "dead": remove_dead_nodes,
}
FILES = sorted(Path(__file__).parent.glob("*.glow"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path: Path) -> None:
    text = path.read_text()
    cases = re.findall(r"(// RUN: ([^\n]*)\n(.*?))// CHECK\n(.*?\n\}\n)", text, re.DOTALL)
    assert cases, "no case in this file"
    for head, names, before, expected in cases:
        graph = parse(re.sub(r"^//.*\n", "", before, flags=re.MULTILINE))
        feeds = random_feeds(graph)
        meaning = evaluate(graph, feeds)
        for name in names.split(", "):
            PASSES[name](graph)
            verify(graph)
        assert_same_meaning(meaning, graph, feeds)
        if "GLOWPY_UPDATE" in os.environ:
            text = text.replace(f"{head}// CHECK\n{expected}", f"{head}// CHECK\n{print_graph(graph)}")
        else:
            assert print_graph(graph) == expected
    if "GLOWPY_UPDATE" in os.environ:
        path.write_text(text)
