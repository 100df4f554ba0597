"""What can go wrong, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from: the model's own name for it, kept through every rewrite."""

    source: str
    node: str
    op: str

    def __str__(self) -> str:
        return f"{self.source}: {self.op} '{self.node}'"


class GlowError(Exception):
    """Root of all errors that a user of the compiler may see."""

    exit_code: ClassVar[int] = 5
    """What the command line exits with: 2 usage, 3 bad model, 4 unsupported, 5 internal error."""

    origin: Origin | None = None

    def at(self, origin: Origin | None) -> Self:
        """This error, told with the innermost place that is known."""
        self.origin = self.origin or origin
        return self

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.origin}: {message}" if self.origin else message


class BadModel(GlowError):
    """The model contradicts itself or the standard."""

    exit_code = 3


class TypeMismatch(BadModel):
    """Operands do not fit an operator."""


class SyntaxFault(BadModel):
    """Text that is no graph and no program."""


class Unsupported(GlowError):
    """The model is right, but this compiler, or the chosen backend, cannot do it; the message says what to do."""

    exit_code = 4


class UsageError(GlowError):
    """The caller gave something that does not fit: an input, an option, a name."""

    exit_code = 2


class InvalidIR(GlowError):
    """A graph or a program breaks one of its own rules: a compiler bug, never the user's fault."""


class Findings(GlowError):
    """All that is wrong with one model, told at once."""

    def __init__(self, title: str, findings: Sequence[GlowError]) -> None:
        super().__init__("\n".join((title, *(f"  {finding}" for finding in findings))))
        self.findings = tuple(findings)

    @property
    def code(self) -> int:
        """Exit code 3 if any finding is a fault of the model, else 4."""
        return min(finding.exit_code for finding in self.findings)
