"""Every file in tests/program: a program, the steps to run, and the program (or the error) to expect.

``GLOWPY_UPDATE=1`` writes what came out into the files instead of comparing.

Planted bugs that these files caught: copies coalesced whatever else is written there (overwritten.glow), buffers of one
storage that always count as overlapping (concat.glow), results over inputs that are read later (share_alive.glow).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from glowpy.pipeline import check_order
from glowpy.program import pipeline
from glowpy.program.coalesce import coalesce_copies
from glowpy.program.dead_stores import remove_dead_stores
from glowpy.program.halo import zero_halos
from glowpy.program.in_place import share_buffers
from glowpy.program.memory import assign_addresses
from glowpy_backends.base import Backend, BackendOptions
from glowpy_ir.errors import GlowError
from glowpy_ir.program import Program
from glowpy_ir.program_text import parse_program, print_program
from glowpy_ir.verify_program import verify_program

STEPS: dict[str, Callable[[Program], object]] = {
    "coalesce": lambda program: coalesce_copies(program, Backend(BackendOptions())),
    "dead stores": remove_dead_stores,
    "share": share_buffers,
    "zero halos": zero_halos,
    "place": assign_addresses,
}
FILES = sorted(Path(__file__).parent.glob("*.glow"))


def test_order_has_reasons_and_keeps_them() -> None:
    names = ["emit", *(name for name, _ in pipeline.STEPS), "place"]
    check_order(names, pipeline.ORDER)
    with pytest.raises(ValueError, match="'coalesce' must come before 'dead stores'"):
        check_order(names[::-1], pipeline.ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path: Path) -> None:
    head, _, body = path.read_text().partition("\n")
    verb, _, rest = head.removeprefix("// ").partition(": ")
    if verb == "ERROR":
        with pytest.raises(GlowError) as caught:
            verify_program(parse_program(body))
        assert rest in str(caught.value)
        return
    before, expected = body.split("// CHECK\n")
    program = parse_program(before)
    assert print_program(parse_program(print_program(program))) == print_program(program)
    for name in rest.split(", "):
        STEPS[name](program)
        verify_program(program)
    if "GLOWPY_UPDATE" in os.environ:
        path.write_text(f"{head}\n{before}// CHECK\n{print_program(program)}")
    assert print_program(program) == expected or "GLOWPY_UPDATE" in os.environ
