"""What is to be imported: nodes, and loops that are written out iteration by iteration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from onnx import GraphProto, NodeProto

from glowpy.onnx.demands import Demand
from glowpy.onnx.folding import FoldingBuilder, Journal
from glowpy.onnx.inputs import declared_shape
from glowpy.onnx.order import captured, label, names_read
from glowpy.onnx.scope import Bundle, Hole, Named, Operand, Place, Waits, follow
from glowpy.onnx.weights import kind_of_code
from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.graph import Constant, Value
from glowpy_ir.ops.movement import Concat, Reshape

if TYPE_CHECKING:
    from glowpy.onnx.importer import Importer

MOST_ITERATIONS = 10_000
"""A loop that would be written out more often is refused."""

MOST_WAITING = 100
"""With so many tasks that wait, a loop is written out no further than what it carries is known."""


@dataclass
class Task(ABC):
    """Something that gives names a meaning, perhaps only after a part of the model has run."""

    place: Place
    """Where its names are."""
    node: NodeProto
    journal: Journal

    @property
    def title(self) -> str:
        return self.place.prefix + label(self.node)

    @property
    @abstractmethod
    def writes(self) -> Sequence[str]:
        """The names that it gives a meaning."""

    @abstractmethod
    def reads(self) -> Iterable[Named]:
        """All that it needs, in nested graphs too."""

    @abstractmethod
    def attempt(self, importer: Importer) -> Sequence[Named]:
        """What the names stand for; raises what ``Importer`` knows to handle, and can be tried again then."""


@dataclass
class NodeTask(Task):
    """A node."""

    @property
    def writes(self) -> Sequence[str]:
        return list(self.node.output)

    def reads(self) -> Iterable[Named]:
        return (self.place.scope[name] for name in names_read(self.node) if name in self.place.scope)

    def attempt(self, importer: Importer) -> Sequence[Named]:
        return importer.import_node(self)


@dataclass
class UnrolledLoop(Task):
    """A loop whose body is put down once for each iteration, as its tensors change their types or it carries sequences.

    Before each, the condition must be known. Its results have names in a place of their own.
    """

    outside: Place
    """Of the node."""
    body: GraphProto
    trips: Named | None
    condition: Named | None
    carried: tuple[Named, ...]
    stacked: list[tuple[Named, ...]] = field(default_factory=list)
    """What each iteration adds to the stacked results."""

    @property
    def writes(self) -> Sequence[str]:
        return [f"result.{number}" for number in range(len(self.body.output) - 1)]

    def reads(self) -> Iterable[Named]:
        for named in (self.trips, self.condition, *self.carried, *(item for row in self.stacked for item in row)):
            if named is not None:
                yield named
        scope = self.outside.scope
        yield from (scope[name] for name in captured(self.body) if name in scope)

    def attempt(self, importer: Importer) -> Sequence[Named]:
        while self._goes_on(importer):
            if len(self.stacked) == MOST_ITERATIONS:
                raise Unsupported(f"the loop cannot be compiled as one, and runs more than {MOST_ITERATIONS} times")
            if len(importer.waiting) >= MOST_WAITING and any(follow(named) is Hole.PENDING for named in self.carried):
                raise Waits(Hole.PENDING.value)
            number, holds = (importer.builder.constant(np.asarray(a)) for a in (np.int64(len(self.stacked)), True))
            given = (number, holds, *self.carried)
            condition, *rest = importer.inline(self.body, given, self.node, self.outside)
            count = len(self.carried)
            self.condition, self.carried = condition, tuple(rest[:count])
            self.stacked.append(tuple(rest[count:]))
        columns = range(len(self.body.output) - 1 - len(self.carried))
        items = [[self._tensor(importer, row[column]) for row in self.stacked] for column in columns]
        return (*self.carried, *(self._stack(importer.builder, column, row) for column, row in enumerate(items)))

    def _goes_on(self, importer: Importer) -> bool:
        """Whether there is another iteration."""
        if self.trips is not None:
            trips = _element(importer.resolve(self.trips), "the number of trips")
            if trips <= len(self.stacked):
                return False
        return self.condition is None or bool(_element(importer.resolve(self.condition), "the condition"))

    def _tensor(self, importer: Importer, named: Named) -> Value:
        thing = importer.resolve(named)
        if not isinstance(thing, Value):
            raise TypeMismatch("a loop can stack tensors only")
        return thing

    def _stack(self, builder: FoldingBuilder, column: int, items: Sequence[Value]) -> Value:
        if not items:
            declared = self.body.output[1 + len(self.carried) + column]
            shape = [dim if isinstance(dim, int) else 0 for dim in declared_shape(declared) or ()]
            return builder.constant(np.empty((0, *shape), kind_of_code(declared.type.tensor_type.elem_type).dtype))
        rows = [builder.add(Reshape((1, *item.type.shape)), item) for item in items]
        return builder.add(Concat(0), *rows)


def _element(thing: Operand, what: str) -> int:
    """The only element of a tensor; Demand if it is not known."""
    if isinstance(thing, Constant) and thing.data.size == 1:
        return int(thing.data.item())
    if isinstance(thing, Value) and all(dim == 1 for dim in thing.type.shape):
        raise Demand(thing, what)
    kind = "a sequence" if isinstance(thing, Bundle) else getattr(thing, "type", "nothing")
    raise TypeMismatch(f"{what} must be a single element, not {kind}")
