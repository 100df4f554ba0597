"""Simplification: all rules that replace a node by less work, applied until none fits."""

from __future__ import annotations

from collections.abc import Mapping

from glowpy.passes import arithmetic, concatenation, fold, movement, padding, quantized, repeats, sink, weights
from glowpy_ir.graph import Graph
from glowpy_ir.rewrite import Rule, rewrite

THEMES: Mapping[str, tuple[Rule, ...]] = {
    "fold": fold.RULES,
    "arithmetic": arithmetic.RULES,
    "movement": movement.RULES,
    "concatenation": concatenation.RULES,
    "padding": padding.RULES,
    "weights": weights.RULES,
    "repeats": repeats.RULES,
    "sink": sink.RULES,
    "quantized": quantized.RULES,
}

RULES: tuple[Rule, ...] = tuple(rule for rules in THEMES.values() for rule in rules)


def simplify(graph: Graph) -> bool:
    """Apply the rules of every theme."""
    return rewrite(graph, RULES)
