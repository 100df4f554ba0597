"""What a backend is, and how one is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from glowpy_ir.errors import Unsupported, UsageError

if TYPE_CHECKING:  # a compiled model runs without these
    from glowpy_backends.weights import WeightPool
    from glowpy_ir.literals import Vocabulary
    from glowpy_ir.op import Composite, Op
    from glowpy_ir.program import Program
    from glowpy_ir.rewrite import Pass
    from glowpy_ir.strided import Strided
    from glowpy_ir.types import Array


OWN = {"cpu": "Cpu", "interpreter": "Interpreter"}
"""The classes of the backends that are packages here."""


@dataclass(frozen=True)
class BackendOptions:
    """What a user may choose about the generated code; a backend refuses what it does not know."""

    threads: int | None = None
    """How many threads work on one inference; None: as many as there are cores that this process may use."""
    target: str | None = None
    """The instruction set to generate code for; None: the one of this machine."""
    exact: bool = False
    """Use no algorithm that rounds worse than the definition (no Winograd with tiles of four)."""
    flush_denormals: bool = False
    """Treat numbers below the normal range as zero; faster on data that has many of them."""
    cache: Path | None = None
    """The folder of the object cache; None: the user's."""
    weights: WeightPool | None = field(default=None, compare=False, repr=False)
    """Where programs of one model find the large weights of each other; None: this one is alone."""


class Executable(Protocol):
    """A compiled program; several threads may run it at once."""

    def run(self, feeds: Mapping[str, Array], into: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """The outputs by name, for inputs by name whose types have been checked.

        Outputs are written ``into`` contiguous arrays where these are given. One may be the memory of an input that
        the program writes this very output over (see ``program.continued``).
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what ``Backend.load`` needs into an existing folder."""
        ...

    def listing(self, kind: str) -> str:
        """The generated code as text, of a ``kind`` such as llvm or asm; UsageError if there is none."""
        ...


class Backend:
    """Turns a program whose buffers have addresses into something that runs.

    What a method here answers holds for a backend that implements every primitive and nothing else.
    """

    name: str
    saves: ClassVar[bool] = False
    """Whether its executables can be saved and loaded again."""

    def __init__(self, options: BackendOptions) -> None:
        self.options = options

    def vocabulary(self) -> Vocabulary:
        """The classes that may stand in the text of its graphs and programs."""
        from glowpy_ir.literals import CORE

        return CORE

    def passes(self) -> tuple[Pass, ...]:
        """What it does to a lowered graph before element-wise operators are fused."""
        return ()

    def keeps(self, op: Composite) -> bool:
        """Whether it has a kernel for a composite operator, which then is not lowered."""
        return False

    def fuses(self, head: Op, converts: bool = False) -> bool:
        """Whether its kernel for ``head`` takes element-wise operators as an epilogue.

        If ``converts``, such that make elements of another kind than those of ``head``.
        """
        return False

    def accepts(self, op: Op, index: int, layout: Strided) -> bool:
        """Whether operand ``index`` of ``op`` may lie like this; results are counted -1, -2, …"""
        from glowpy_ir.structured import Structured

        return not isinstance(op, Structured) or layout.is_dense

    def compile(self, program: Program) -> Executable:
        """Code for a program whose activations have their addresses; Unsupported, or Findings, if it cannot."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, options: BackendOptions) -> Executable:
        """What ``Executable.save`` wrote, ready to run."""
        raise Unsupported(f"programs of the backend '{cls.name}' cannot be loaded; compile the model again")


def backend_class(name: str) -> type[Backend]:
    """The installed backend of this name; other distributions may bring their own. UsageError if there is none."""
    if name in OWN:
        own: type[Backend] = getattr(import_module(f"glowpy_backends.{name}"), OWN[name])
        return own
    from importlib.metadata import entry_points  # to look through all distributions takes longer than to load a model

    found = {entry.name: entry for entry in entry_points(group="glowpy.backends")}
    if name not in found:
        raise UsageError(f"no backend '{name}'; installed: {', '.join(sorted({*OWN, *found}))}")
    loaded: type[Backend] = found[name].load()
    return loaded
