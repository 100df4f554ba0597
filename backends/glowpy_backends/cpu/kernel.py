"""What every emitter of the CPU backend returns, and the one calling convention of all kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from glowpy_backends.cpu.builder import I64, PTR, Builder, Index, Ssa
from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import Unsupported

_UNNAMED = "unnamed_kernel"


MOST_SCRATCH = 1 << 32
"""Bytes that one thread may need beside the arena."""


@dataclass(frozen=True)
class Kernel:
    """``void @symbol(ptr results…, ptr inputs…, ptr scratch, i64 begin, i64 end)`` as an LLVM module.

    The work is cut into ``units`` of about equal cost that depend on nothing in each other; one call does those in
    ``[begin, end)``. What a unit computes, and in which order, does not depend on the range it was called in, so
    that any number of threads gives the same bits. ``scratch`` is ``scratch_bytes`` long, 64-byte aligned, and
    belongs to one thread for the length of the call.
    """

    symbol: str
    ir: str
    units: int
    scratch_bytes: int


@dataclass(frozen=True)
class Call:
    """What a kernel's code finds when it runs."""

    operands: list[Ssa]
    """Pointers: results first, then inputs."""
    scratch: Ssa
    unit: Index
    first: Ssa
    """Whether this unit is the first of the call, as an ``i1``: nothing is in the scratch yet."""


def define_kernel(
    family: str,
    target: Target,
    operands: int,
    units: int,
    scratch_bytes: int,
    body: Callable[[Builder, Call], None],
) -> Kernel:
    """The kernel whose unit ``body`` writes. Equal code gets an equal symbol, ``<family>_<hash>``.

    Unsupported if it needs more than MOST_SCRATCH.
    """
    if scratch_bytes > MOST_SCRATCH:
        needed, most = scratch_bytes >> 30, MOST_SCRATCH >> 30
        raise Unsupported(f"its kernel would need {needed} GiB of scratch memory for each thread; {most} are the most")
    b = Builder(target)
    with b.function(_UNNAMED, [PTR] * (operands + 1) + [I64, I64]) as parameters:
        *pointers, scratch, begin, end = parameters

        def unit(index: Index, _: list[Ssa]) -> None:
            first = b.compare("eq", Ssa(str(index), I64) if isinstance(index, int) else index, begin)
            body(b, Call(pointers, scratch, index, first))

        def units_of_call() -> None:
            if units == 1:
                unit(0, [])
            else:
                b.loop(begin, end, 1, unit)

        b.branch(b.less(begin, end), units_of_call)
    text = b.text()
    symbol = f"{family}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Kernel(symbol, text.replace(f"@{_UNNAMED}(", f"@{symbol}("), units, scratch_bytes)
