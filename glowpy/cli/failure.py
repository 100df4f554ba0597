"""Tells the user what went wrong, one line for each finding, and picks the exit code."""

from __future__ import annotations

import sys
import traceback

from glowpy_ir.errors import Findings, GlowError, InvalidIR

USAGE, UNSUPPORTED, INTERNAL = 2, 4, 5


def report(error: Exception, debug: bool) -> int:
    """Print ``error`` on the standard error stream, with its traceback if asked for; the answer is the exit code."""
    if debug:
        traceback.print_exception(error)
    match error:
        case InvalidIR():
            return _internal(error)
        case Findings():
            _print(str(error))
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


def _internal(error: Exception) -> int:
    _print(f"internal error: {type(error).__name__}: {error}")
    print("This is a fault of glowpy. Please report it with the model; -vv shows where it happened.", file=sys.stderr)
    return INTERNAL


def _print(text: str) -> None:
    print(f"error: {text}", file=sys.stderr)
