"""Brings object code into this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Any

import llvmlite.binding as llvm

from glowpy_backends.cpu.emit import initialize
from glowpy_ir.errors import InvalidIR


class Library:
    """Linked code. Its addresses hold as long as the object lives; whoever keeps one keeps the library."""

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def address(self, symbol: str) -> int:
        """Where an exported symbol lies."""
        address: int = self._tracker[symbol]
        return address


def link(objects: Sequence[bytes], exports: Sequence[str], imports: Mapping[str, int] | None = None) -> Library:
    """Links objects with each other, with ``imports`` (symbol: address) and with this process's own symbols.

    ``exports`` are the symbols that will be asked for. InvalidIR if a symbol is missing or defined twice.
    """
    builder = llvm.JITLibraryBuilder().add_current_process()
    for data in objects:
        builder.add_object_img(data)
    for symbol in exports:
        builder.export_symbol(symbol)
    for symbol, address in (imports or {}).items():
        builder.import_symbol(symbol, address)
    try:
        return Library(_linker().link(builder))
    except RuntimeError as error:
        raise InvalidIR(f"generated code does not link: {str(error).strip()}") from None


class _Linker:
    """LLVM's just-in-time linker; the libraries that it makes do not see each other."""

    def __init__(self) -> None:
        initialize()
        self._lljit = llvm.create_lljit_compiler(use_jit_link=True)
        self._lock = Lock()
        self._made = 0

    def link(self, builder: Any) -> Any:
        with self._lock:
            self._made += 1
            return builder.link(self._lljit, f"library{self._made}")


@cache
def _linker() -> _Linker:
    """One for the process."""
    return _Linker()
