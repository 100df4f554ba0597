"""Places recorded sequences of allocations in an arena: ``python -m benchmarks.memory FILE``.

A file holds traces, one statement on a line; ``#`` begins a comment:

    MODEL <name>         a new trace
    ALIGN <bytes>        alignment of every offset
    ALLOC <id> <bytes>   a buffer comes to life
    FREE <id>            and dies; in the end, every buffer is freed
    MEM <bytes>          the arena recorded for the trace: the figure to reach
    EFF <ratio>          live peak / recorded arena
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glowpy.cli.table import render
from glowpy.program.placement import LiveRange, Placement, place
from glowpy_ir.errors import GlowError, SyntaxFault, UsageError

HEADER = ("trace", "buffers", "bytes", "live peak", "ratio", "recorded", "")


@dataclass(frozen=True)
class Trace:
    """One model's buffers, in use from step to step: step n is the n-th ALLOC or FREE."""

    name: str
    alignment: int
    ranges: tuple[LiveRange, ...]
    recorded: int
    """The arena in bytes that the file gives."""


@dataclass(frozen=True)
class Result:
    """A trace and where its buffers were placed."""

    trace: Trace
    placement: Placement

    @property
    def larger(self) -> bool:
        """Whether the file's arena is smaller than ours."""
        return self.placement.size > self.trace.recorded

    @property
    def perfect(self) -> bool:
        """Whether no arena can be smaller."""
        return self.placement.size == self.placement.live_peak


class _Draft:
    """A trace while it is read; a method for each statement."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alignment: int | None = None
        self.recorded: int | None = None
        self.step = 0
        self.used: dict[str, tuple[int, int]] = {}
        """Birth and size of every buffer."""
        self.freed: dict[str, LiveRange] = {}

    def align(self, size: str) -> None:
        self.alignment = _number(size)
        if self.alignment == 0:
            raise SyntaxFault("an alignment of 0 bytes")

    def alloc(self, buffer: str, size: str) -> None:
        if buffer in self.used:
            raise SyntaxFault(f"buffer {buffer} is allocated twice")
        self.used[buffer] = (self.step, _number(size))
        self.step += 1

    def free(self, buffer: str) -> None:
        if buffer not in self.used or buffer in self.freed:
            raise SyntaxFault(f"buffer {buffer} is freed but not in use")
        start, size = self.used[buffer]
        self.freed[buffer] = LiveRange(buffer, size, start, self.step)
        self.step += 1

    def memory(self, size: str) -> None:
        self.recorded = _number(size)

    def efficiency(self, ratio: str) -> None:
        try:
            float(ratio)
        except ValueError:
            raise SyntaxFault(f"expected a ratio, not '{ratio}'") from None

    def finish(self) -> Trace:
        leaked = [buffer for buffer in self.used if buffer not in self.freed]
        if leaked:
            raise SyntaxFault(f"trace '{self.name}' ends, but buffer {leaked[0]} is not freed")
        if self.alignment is None or self.recorded is None:
            raise SyntaxFault(f"trace '{self.name}' has no {'MEM' if self.alignment else 'ALIGN'} line")
        return Trace(self.name, self.alignment, tuple(self.freed.values()), self.recorded)


STATEMENTS: dict[str, tuple[int, Callable[..., None]]] = {
    "ALIGN": (1, _Draft.align),
    "ALLOC": (2, _Draft.alloc),
    "FREE": (1, _Draft.free),
    "MEM": (1, _Draft.memory),
    "EFF": (1, _Draft.efficiency),
}
"""How many values follow each keyword inside a trace, and what reads them."""


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 20):
        raise SyntaxFault(f"expected a number of bytes, not '{word[:40]}'")
    return int(word)


def read_traces(lines: Iterable[str], source: str) -> Iterator[Trace]:
    """The traces in `lines`; raises SyntaxFault, which names `source` and the line that is wrong."""
    draft: _Draft | None = None
    number = 0
    try:
        for number, line in enumerate(lines, 1):  # noqa: B007 (the handler below tells the number)
            keyword, *values = line.partition("#")[0].split() or [""]
            if not keyword:
                continue
            count, read = STATEMENTS.get(keyword, (1, None))
            if keyword != "MODEL" and read is None:
                raise SyntaxFault(f"unknown statement '{keyword[:40]}'; expected MODEL, {', '.join(STATEMENTS)}")
            if len(values) != count:
                raise SyntaxFault(f"{keyword} takes {count} value{'s'[: count > 1]}, not {len(values)}")
            if read is None:
                if draft:
                    yield draft.finish()
                draft = _Draft(values[0])
            elif draft is None:
                raise SyntaxFault(f"{keyword} before the first MODEL")
            else:
                read(draft, *values)
        if draft:
            yield draft.finish()
    except SyntaxFault as fault:
        raise SyntaxFault(f"{source}:{number}: {fault}") from None


def load_traces(path: Path) -> tuple[Trace, ...]:
    """The traces in a file; raises UsageError if it cannot be read or holds none, SyntaxFault if a line is wrong."""
    try:
        with path.open(encoding="utf-8") as lines:
            traces = tuple(read_traces(lines, str(path)))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text file") from None
    if not traces:
        raise UsageError(f"{path} holds no trace: no line begins with MODEL")
    return traces


def _as_text(results: Sequence[Result], seconds: float) -> str:
    rows = [
        (
            result.trace.name,
            str(len(result.trace.ranges)),
            str(result.placement.size),
            str(result.placement.live_peak),
            f"{result.placement.ratio:.4f}",
            str(result.trace.recorded),
            "LARGER" if result.larger else "smaller" if result.placement.size < result.trace.recorded else "",
        )
        for result in results
    ]
    perfect = sum(result.perfect for result in results)
    fit = sum(not result.larger for result in results)
    smaller = sum(result.placement.size < result.trace.recorded for result in results)
    return (
        f"{render(rows, HEADER)}\n\n{len(results)} traces: {perfect} at the live peak; {fit} not above the recorded "
        f"arena, {smaller} below it; placed in {seconds:.2f} s"
    )


def _as_json(results: Sequence[Result], seconds: float) -> str:
    traces = [
        {
            "trace": result.trace.name,
            "buffers": len(result.trace.ranges),
            "bytes": result.placement.size,
            "live_peak": result.placement.live_peak,
            "ratio": result.placement.ratio,
            "recorded": result.trace.recorded,
        }
        for result in results
    ]
    return json.dumps({"traces": traces, "seconds": seconds}, indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Place every trace of a file; 1 if an arena became larger than the recorded one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="traces of allocations")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(arguments)
    try:
        traces = load_traces(options.file)
        started = time.perf_counter()
        results = [Result(trace, place(trace.ranges, trace.alignment)) for trace in traces]
    except GlowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    seconds = time.perf_counter() - started
    print(_as_json(results, seconds) if options.json else _as_text(results, seconds))
    return int(any(result.larger for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
