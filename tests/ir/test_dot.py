"""Pictures of graphs: every node, every edge, whatever the names."""

from __future__ import annotations

import re

from glowpy_ir import parse
from glowpy_ir.dot import to_dot

TEXT = """graph "g" {
  %x = placeholder f32[1,2,4,4]
  %w = constant f32[2,2,1,1] [1.0, 2.0, 3.0, 4.0]
  %conv = Conv(%x, %w) strides=(1,1) before=(0,0) after=(0,0) dilations=(1,1) groups=1 : f32[1,2,4,4]
  %add = Add(%conv, %conv) : f32[1,2,4,4]
  return y = %add, again = %x
}
"""


def test_nodes_edges_and_outputs() -> None:
    dot = to_dot(parse(TEXT))
    assert dot.startswith('digraph "\\"g\\"" {')
    assert re.findall(r"(\w+) -> (\w+)", dot) == [("i0", "n0"), ("n0", "n1"), ("n0", "n1"), ("n1", "o0"), ("i0", "o1")]
    assert r'n0 [label="Conv\lstrides=(1,1)\l' in dot
    assert r"%w: f32[2,2,1,1]" in dot
    assert dot.count("{") == dot.count("}") == 1
