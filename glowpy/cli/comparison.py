"""Compares outputs with what they should be, and says how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from glowpy.cli.table import render
from glowpy.compare import Difference, compare
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array

HEADER = ("output", "largest error", "of the range", "")


def compare_outputs(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> dict[str, Difference]:
    """How far each output is from the expected one; UsageError if there is no such output, or nothing is expected."""
    for name in expected:
        if name not in outputs:
            raise UsageError(f"an output {name!r} is expected; the model has: {', '.join(outputs)}")
    if not expected:
        raise UsageError("no outputs are expected: there is nothing to compare")
    return {name: compare(outputs[name], array) for name, array in expected.items()}


def agree(differences: Mapping[str, Difference], tolerance: float) -> bool:
    """Whether no error is larger than ``tolerance``; false where an error is not even a number."""
    return all(difference.relative <= tolerance for difference in differences.values())


def comparison_text(differences: Mapping[str, Difference], tolerance: float) -> str:
    """A table with a line for each output."""
    rows = [
        (name, f"{d.absolute:.2e}", f"{d.relative:.2e}", "ok" if d.relative <= tolerance else _fault(d))
        for name, d in differences.items()
    ]
    return render(rows, HEADER)


def _fault(difference: Difference) -> str:
    return f"MISMATCH: {difference.reason}" if difference.reason else "MISMATCH"


def comparison_facts(differences: Mapping[str, Difference], tolerance: float) -> dict[str, Any]:
    """The same for JSON."""
    outputs = {name: asdict(difference) for name, difference in differences.items()}
    return {"agrees": agree(differences, tolerance), "tolerance": tolerance, "outputs": outputs}
