"""What names stand for while a model is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from glowpy_ir.errors import GlowError
from glowpy_ir.graph import Value


class Hole(Enum):
    """What a name may stand for, other than something with elements."""

    FAILED = "its node could not be imported"
    ABSENT = "an optional operand that is left out"
    PENDING = "its node waits for elements that are computed first"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A sequence: it exists only while a model is imported, and its items are values like others."""

    items: tuple[Named, ...]


@dataclass(frozen=True)
class Nothing:
    """An optional that holds nothing; one that holds something is that thing itself."""


@dataclass(frozen=True, eq=False)
class Zipped:
    """A sequence of maps, one for each row of a matrix: from labels to the elements of the row.

    Only an output of a model can be one; nothing computes with it, and only its caller sees maps.
    """

    labels: tuple[int | str, ...]
    rows: Value


@dataclass(frozen=True, eq=False)
class Place:
    """Where nodes stand: in the model's graph, in a nested graph, or in a function."""

    scope: Scope
    opsets: Mapping[str, int]
    prefix: str = ""


@dataclass(frozen=True)
class Alias:
    """What another name stands for, which may not be known yet."""

    place: Place
    name: str


Operand: TypeAlias = Value | Bundle | Nothing | Zipped
Named: TypeAlias = Operand | Alias | Hole
Scope: TypeAlias = MutableMapping[str, Named]


class Skip(GlowError):
    """A node cannot be imported because another could not, which has been told already."""


class Waits(GlowError):
    """A node cannot be imported yet, since another waits for elements that are computed first."""


def values_in(thing: Operand) -> Iterator[Value]:
    """All values that a value, a sequence or an optional consists of, as far as they are known already."""
    match thing:
        case Value():
            yield thing
        case Bundle(items=items):
            for item in items:
                found = follow(item)
                if not isinstance(found, Hole):
                    yield from values_in(found)
        case Zipped(rows=rows):
            yield rows


def follow(thing: Named) -> Operand | Hole:
    """What an alias stands for in the end."""
    while isinstance(thing, Alias):
        thing = thing.place.scope.get(thing.name, Hole.FAILED)
    return thing


def input_key(name: str) -> str:
    """Where an input of the model is found, between its parts."""
    return f"input/{name}"
