"""A chart of the ratios: how many times longer each engine takes than the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Result

HEIGHT_OF_BAR = 0.28


def plot(results: Sequence[Result], path: Path, caption: str) -> None:
    """Draw a bar for each engine and model, with its 10th and 90th percentile; the file's suffix says the format."""
    from matplotlib.figure import Figure

    first = results[0].engines[0]
    others = list(dict.fromkeys(e for r in results for e in r.engines if e != first))
    figure = Figure(figsize=(8, 1.2 + HEIGHT_OF_BAR * len(results) * (len(others) + 0.6)), layout="constrained")
    axes = figure.subplots()
    step = len(others) + 0.6
    for place, engine in enumerate(others):
        shown = [(i, r.timing.ratio(first, engine)) for i, r in enumerate(results) if _comparable(r, first, engine)]
        axes.barh(
            [i * step + place for i, _ in shown],
            [spread.median for _, spread in shown],
            xerr=(
                [spread.median - spread.low for _, spread in shown],
                [spread.high - spread.median for _, spread in shown],
            ),
            height=0.9,
            label=engine,
            capsize=2,
            error_kw={"linewidth": 0.8},
        )
    axes.set_yticks([i * step + (len(others) - 1) / 2 for i in range(len(results))])
    axes.set_yticklabels([f"{r.model}, {r.threads} thread{'s' * (r.threads > 1)}" for r in results])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(f"time / time of {first} (above 1: {first} is faster)\n{caption}", fontsize="small")
    axes.legend(frameon=False)
    figure.savefig(path)


def _comparable(result: Result, first: str, engine: str) -> bool:
    return first in result.timing.rounds and engine in result.timing.rounds
