"""The command line ``glowc``: finds the verb, runs it, and turns what goes wrong into a message and an exit code.

Only the module of the verb at hand is imported, so that help comes at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

DEFAULT = "compile"
VERBS = {
    DEFAULT: "compile a model, say what was done, and write the code with -o (the verb may be left out)",
    "run": "run a model on given inputs",
    "bench": "time a model",
    "inspect": "say what is in a model, and all that stands in the way of compiling it",
    "verify": "compare a backend's results with the interpreter's, and with ONNX Runtime's",
}
"""What the command line can do, in the order of the help; each verb is a module of this package."""

EXIT_CODES = "exit codes: 0 done, 1 mismatch, 2 wrong usage, 3 bad model, 4 not supported, 5 internal error"
INTERRUPTED = 130
BROKEN_PIPE = 141


class Verb(Protocol):
    """What the module of a verb offers."""

    def add_options(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it; the answer is the exit code."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``glowc`` with the arguments of the process, or these; the answer is the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    named = arguments[:1] and arguments[0] in VERBS
    verb = arguments.pop(0) if named else DEFAULT
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    module: Verb = import_module(f"glowpy.cli.{verb}")  # type: ignore[assignment]
    options = _parser(verb, module, bool(named)).parse_args(arguments)
    try:
        code = module.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away; nothing may be written when Python closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        from glowpy.cli.failure import report

        return report(error, debug=options.verbose > 1 or "GLOWPY_DEBUG" in os.environ)


def _parser(verb: str, module: Verb, named: bool) -> argparse.ArgumentParser:
    """The parser of one verb; without a verb on the command line, its help tells of the others."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name.ljust(width)}  {text}" for name, text in VERBS.items())
    parser = argparse.ArgumentParser(
        prog=f"glowc {verb}" if named else "glowc",
        description=f"glowpy: {VERBS[verb]}.",
        epilog=EXIT_CODES if named else f"verbs (glowc VERB --help):\n{verbs}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_options(parser)
    return parser
