"""Tells the user what went wrong, one line for each kind of finding, and picks the exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable

from glowpy_ir.errors import Findings, GlowError, InvalidIR

USAGE, UNSUPPORTED, INTERNAL = 2, 4, 5
MOST_LINES = 20
"""How many findings are told; -v tells all."""


def report(error: Exception, verbosity: int) -> int:
    """Print ``error`` on the standard error stream; the answer is the exit code.

    From verbosity 1 on every finding has its line, from 2 on there is a traceback.
    """
    if verbosity > 1:
        traceback.print_exception(error)
    match error:
        case InvalidIR():
            return _internal(error)
        case Findings():
            findings = [str(finding) for finding in error.findings] if verbosity else grouped(error.findings)
            shown = findings if verbosity else findings[:MOST_LINES]
            for finding in shown:
                _print(finding)
            if len(shown) < len(findings):
                _print(f"and {len(findings) - len(shown)} more; -v tells all")
            return error.code
        case GlowError():
            _print(str(error))
            return error.exit_code
        case MemoryError():
            _print("out of memory")
            return UNSUPPORTED
        case OSError():
            _print(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            return USAGE
    return _internal(error)


def grouped(findings: Iterable[GlowError]) -> list[str]:
    """The findings as text; what is wrong with several nodes in the same words is told once."""
    groups: dict[str, list[GlowError]] = {}
    for finding in findings:
        groups.setdefault(str(finding.args[0]), []).append(finding)
    return [
        f"{first.origin} and {len(others)} more: {message}" if others else str(first)
        for message, (first, *others) in groups.items()
    ]


def _internal(error: Exception) -> int:
    _print(f"internal error: {type(error).__name__}: {error}")
    print("This is a fault of glowpy. Please report it with the model; -vv shows where it happened.", file=sys.stderr)
    return INTERNAL


def _print(text: str) -> None:
    """Names in models may hold anything; a terminal gets no control characters."""
    shown = "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
    print(f"error: {shown}", file=sys.stderr)
