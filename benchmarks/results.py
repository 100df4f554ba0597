"""The figures of one benchmark, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import Spread, Timing

TOLERANCE = 1e-3
"""The largest difference, in units of the output's range, at which two engines compute the same."""


@dataclass(frozen=True)
class Result:
    """One model with one number of threads: seconds of every round, and the outputs' differences."""

    model: str
    threads: int
    engines: tuple[str, ...]
    """The first is the one that the others are compared with."""
    timing: Timing
    differences: dict[str, float]
    """Of each engine's outputs from the reference's, in units of the outputs' range."""
    failures: dict[str, str]
    """Why an engine could not take part."""

    @property
    def agrees(self) -> bool:
        return all(difference <= TOLERANCE for difference in self.differences.values())


HEADER = ("model", "threads", "engine", "ms", "p10", "p90", "ratio", "p10", "p90", "difference")


def rows(result: Result) -> list[tuple[str, ...]]:
    """One line for each engine; a ratio above 1 means that the first engine is that much faster."""
    table: list[tuple[str, ...]] = []
    first = result.engines[0]
    for engine in result.engines:
        head = (result.model, str(result.threads), engine)
        if engine in result.failures:
            table.append((*head, "failed"))
            continue
        ratio = ("", "", "")
        if engine != first and first in result.timing.rounds:
            ratio = _cells(result.timing.ratio(first, engine), ".2f")
        table.append((*head, *_cells(result.timing.milliseconds(engine), ".3f"), *ratio, _mark(result, engine)))
    return table


def _cells(spread: Spread, form: str) -> tuple[str, str, str]:
    return format(spread.median, form), format(spread.low, form), format(spread.high, form)


def _mark(result: Result, engine: str) -> str:
    difference = result.differences[engine]
    return f"{difference:.1e}" if difference <= TOLERANCE else f"{difference:.1e} MISMATCH"


def to_json(results: Sequence[Result], environment: dict[str, str]) -> str:
    """Everything measured, down to the single round."""
    return json.dumps({"environment": environment, "results": [asdict(result) for result in results]}, indent=1)


def save(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)
