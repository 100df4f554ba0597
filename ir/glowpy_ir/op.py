"""What an operator is.

An operator is a frozen dataclass: its fields are its attributes, and the parameters of its ``infer`` (or ``expand``)
are its operands. Nothing else is written down about it, and everything else is read off from that one class: building,
printing, parsing, verification, the key for common subexpressions, the low-level instruction and the reference page.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeVar

from glowpy_ir.dims import Expr
from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.strided import Strided
from glowpy_ir.types import Array, TensorType

T = TypeVar("T")
Results = TensorType | tuple[TensorType, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One operand as the operator declares it; optional ones stand at the end and may be left out."""

    name: str
    optional: bool = False
    variadic: bool = False


class Op:
    """An operator with its attributes filled in; two equal operators do the same thing."""

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    commutative: ClassVar[bool] = False
    """Whether the order of the two operands does not matter."""
    in_place: ClassVar[tuple[int, ...]] = ()
    """The operands that ``may_overwrite`` answers for."""

    @classmethod
    def _read_parameters(cls, rule: Callable[..., Any], skip: int) -> None:
        cls.parameters = tuple(
            Parameter(p.name, p.default is not p.empty, p.kind is p.VAR_POSITIONAL)
            for p in list(inspect.signature(rule).parameters.values())[skip:]
        )

    @property
    def name(self) -> str:
        return type(self).__name__

    def parameter(self, index: int) -> Parameter:
        """The declaration of the operand at ``index``."""
        return self.parameters[min(index, len(self.parameters) - 1)]

    def check_count(self, given: int) -> None:
        """Raise TypeMismatch if the operator does not take so many operands."""
        least = sum(not (p.optional or p.variadic) for p in self.parameters)
        variadic = any(p.variadic for p in self.parameters)
        if given < least or (given > len(self.parameters) and not variadic):
            wanted = ", ".join(f"*{p.name}" if p.variadic else p.name for p in self.parameters)
            raise TypeMismatch(f"{self.name} takes {wanted or 'no operands'}; {given} given")

    def may_overwrite(self, index: int) -> bool:
        """Whether the result may be written over operand ``index``, if it has the result's type."""
        return index in self.in_place

    def margins(self, index: int, *operands: TensorType) -> tuple[tuple[int, int], ...]:
        """How many zeros must lie around operand ``index``: (before, after) for each dimension, or () for none."""
        return ()

    def attributes(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def attribute_text(self) -> str:
        """`` name=value`` for each attribute, as it stands in printed graphs and programs."""
        return "".join(f" {name}={literal(value)}" for name, value in self.attributes().items())


def literal(value: object) -> str:
    """A value of an attribute as text without blanks; ``literals.Reader`` reads it back."""
    match value:
        case Enum():
            return f"{type(value).__name__}.{value.name}"
        case str():
            quoted = "'" + repr('"' + value)[2:]  # with a double quote inside, repr takes single ones outside
            return quoted.replace(" ", r"\x20").replace("//", r"/\x2f")
        case Expr():
            return f"`{value}`"
        case tuple():
            return f"({','.join(map(literal, value))}{',' if len(value) == 1 else ''})"
        case None | bool() | int() | float():
            return repr(value)
        case _:  # a dataclass: an operator, a type, a tiling
            arguments = ((f.name, getattr(value, f.name)) for f in fields(value))  # type: ignore[arg-type]
            return f"{type(value).__name__}({','.join(f'{n}={literal(v)}' for n, v in arguments)})"


class Primitive(Op):
    """An operator that a backend implements, known by its type rule and its meaning."""

    def __init_subclass__(cls) -> None:
        cls._read_parameters(cls.infer, skip=1)

    def infer(self, *operands: Any, **_: Any) -> Results:
        """The type of the result, or of each result; or TypeMismatch."""
        raise NotImplementedError

    def evaluate(self, *operands: Any, **_: Any) -> Array | tuple[Array, ...]:
        """The meaning: what every backend must compute, written in NumPy and made to be read."""
        raise NotImplementedError


class Hosted(Primitive):
    """A primitive that no backend has: the host evaluates it, and only then are the types of its results known."""

    def __init_subclass__(cls) -> None:
        cls._read_parameters(cls.evaluate, skip=1)

    def infer(self, *operands: Any, **_: Any) -> Results:
        raise Unsupported(f"{self.name} has no type before it is computed, so that it cannot stand in a graph")


class Movement(Primitive):
    """A primitive whose result is its operand, looked at otherwise: no arithmetic, and often no copy."""

    def restride(self, source: Strided) -> Strided | None:
        """The result as a view of ``source``; None if no strides can say it."""
        raise NotImplementedError

    def inverse(self, source: TensorType) -> Movement | None:
        """The movement that makes ``source`` of the result again; None if elements were left out or repeated."""
        return None


class Emitter(Protocol[T]):
    """Applies operators to things: to values of a graph, to types, or to arrays."""

    def add(self, op: Op, *inputs: T) -> T:
        """The only result of ``op``."""
        ...

    def add_all(self, op: Op, *inputs: T) -> tuple[T, ...]:
        """All results of ``op``."""
        ...

    def constant(self, array: Array) -> T: ...

    def type_of(self, thing: T) -> TensorType: ...


class Composite(Op):
    """An operator that is defined by other operators.

    One expansion serves three ends: applied to a graph's values it lowers, applied to types it infers, and applied to
    arrays it computes.
    """

    def __init_subclass__(cls) -> None:
        cls._read_parameters(cls.expand, skip=2)

    def expand(self, e: Emitter[T], *operands: Any, **_: Any) -> T | tuple[T, ...]:
        """The same result, built from simpler operators."""
        raise NotImplementedError
