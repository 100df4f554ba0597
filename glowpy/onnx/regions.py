"""Nested graphs as regions: what a choice or a loop runs is imported into a graph of its own.

That can be done if all is known of it but the elements of what it takes. Names from outside stand for inputs of the
region then, which its node has as operands; constants are put into the region.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnx import GraphProto

from glowpy.onnx.folding import FoldingBuilder
from glowpy.onnx.order import captured
from glowpy.onnx.scope import Bundle, Hole, Named, Nothing, Operand, Place, Scope, Skip, Waits, Zipped, follow
from glowpy.passes.dead import remove_dead_nodes
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Constant, Graph, Value
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.types import Kind, TensorType

if TYPE_CHECKING:
    from glowpy.onnx.importer import Importer


class NotStatic(Unsupported):
    """A nested graph cannot be a region, as elements decide about more than elements; or something is wrong with it."""


@dataclass
class Region:
    """A region in the making, for a node at some place."""

    outer: Importer
    place: Place
    """Of the node."""
    inner: Importer
    b: FoldingBuilder
    """Adds operators to the region."""
    captures: dict[Value, Value] = field(default_factory=dict)
    """What the region takes from outside, and what that is in it."""
    known: dict[Value, Value] = field(default_factory=dict)
    """What the region need not take, as it is known."""
    own: list[Value] = field(default_factory=list)
    """Inputs that the node's operator itself gives."""

    @property
    def outputs(self) -> list[Value]:
        """Once finished."""
        return self.inner.builder.graph.outputs

    def input(self, name: str, type: TensorType) -> Value:
        """A tensor that the operator gives."""
        value = self.inner.builder.placeholder(name, type)
        self.own.append(value)
        return value

    def capture(self, value: Value) -> Value:
        """A value from outside."""
        if value not in self.captures and value not in self.known:
            if (inner := self._known(value)) is not None:
                self.known[value] = inner
            else:
                self.captures[value] = self.inner.builder.placeholder(value.name, value.type)
        return self.known.get(value) or self.captures[value]

    def _known(self, value: Value) -> Value | None:
        """The same elements in the region, if they are known or are open dimensions."""
        b = self.inner.builder
        if isinstance(value, Constant):
            return b.constant(value.data, value.name, value.type)
        dims = self.outer.builder.dims_of(value)
        if dims is None or value.type.kind is not Kind.I64 or value.type.rank > 1:
            return None
        return b.dims(dims) if value.type.rank else b.add(Reshape(()), b.dims(dims))

    def run(self, proto: GraphProto, *operands: Operand) -> list[Value]:
        """The outputs of a nested graph at work on ``operands``.

        NotStatic if it cannot be in a region, BadModel if it does not take so many; Waits if it takes what has to be
        computed first.
        """
        if len(operands) != len(proto.input):
            raise BadModel(f"nested graph '{proto.name}' takes {len(proto.input)} inputs, not {len(operands)}")
        scope: Scope = {value.name: operand for value, operand in zip(proto.input, operands, strict=True)}
        for name in dict.fromkeys(captured(proto)):
            if name not in scope:
                scope[name] = self._bring(self.outer.value(self.place, name))
        inner = Place(scope, self.place.opsets, self.place.prefix)
        self.inner.add_weights(proto, inner)
        self.inner.add_nodes(proto.node, inner)
        reasons = [*self.inner.findings, *(reason for _, reason in self.inner.refusals)]
        if reasons:
            raise NotStatic(str(reasons[0]))
        return [self._output(inner, output.name) for output in proto.output]

    def _bring(self, thing: Named) -> Operand:
        """Anything from outside: the items of a sequence one by one."""
        match follow(thing):
            case Value() as value:
                return self.capture(value)
            case Bundle(items=items):
                return Bundle(tuple(map(self._bring, items)))
            case Hole() as hole:
                raise (Waits if hole is Hole.PENDING else Skip)(hole.value)
            case Zipped(labels=labels, rows=rows):
                return Zipped(labels, self.capture(rows))
            case Nothing() as nothing:
                return nothing

    def _output(self, place: Place, name: str) -> Value:
        try:
            thing = self.inner.value(place, name)
        except (Skip, Waits) as reason:
            raise NotStatic(str(reason)) from None
        if not isinstance(thing, Value):
            raise NotStatic(f"'{name}' is no tensor")
        return thing

    def finish(self, outputs: Iterable[tuple[str, Value]]) -> None:
        """Make these the outputs of the region, and leave out of it what they do not need."""
        graph = self.inner.builder.graph
        for name, value in outputs:
            graph.set_output(name, value)
        remove_dead_nodes(graph)
        self.captures = {o: i for o, i in self.captures.items() if i.users or i in graph.outputs}

    def graph(self, captures: Sequence[Value]) -> Graph:
        """The region, once finished, for a node that captures all these."""
        for value in captures:
            if value not in self.captures:
                self.captures[value] = self.inner.builder.placeholder(value.name, value.type)
        graph = self.inner.builder.graph
        inputs = (*self.own, *(self.captures[value] for value in captures))
        graph.inputs[:] = inputs  # type: ignore[assignment]
        return graph
