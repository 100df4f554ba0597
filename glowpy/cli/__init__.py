"""The command line ``glowc``: runs a verb, and turns what goes wrong into a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from glowpy.cli.options import parse

INTERRUPTED, BROKEN_PIPE = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``glowc`` with these arguments, or those of the process; the answer is the exit code.

    What a verb needs is imported when its options have been read, so that help and usage errors come at once.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        code: int = import_module(f"glowpy.cli.{options.verb}").run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away; Python must not try to write what is left when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        from glowpy.cli.failure import report

        return report(error, verbosity=2 if "GLOWPY_DEBUG" in os.environ else options.verbose)
