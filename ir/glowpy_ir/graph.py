"""The dataflow graph: values, the nodes that make them, and who uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from glowpy_ir.errors import GlowError, InvalidIR, Origin
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.structured import Signature
from glowpy_ir.types import Array, TensorType


@dataclass(eq=False)
class Value:
    """A tensor that some node makes."""

    name: str
    type: TensorType
    producer: Node | None = field(default=None, repr=False)
    users: dict[Node, None] = field(default_factory=dict, repr=False)
    """The nodes that take it, each once, in the order in which they came."""

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(eq=False)
class Placeholder(Value):
    """A tensor that the caller brings."""


@dataclass(eq=False, kw_only=True)
class Constant(Value):
    """A tensor that is known now."""

    data: Array = field(repr=False)


@dataclass(eq=False)
class Node:
    """One operator at work: which values it takes, and which it makes."""

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    origin: Origin | None = None
    regions: tuple[Graph, ...] = ()
    """What a structured operator runs: graphs that are isolated from this one."""
    before: Node | None = field(default=None, repr=False)
    after: Node | None = field(default=None, repr=False)

    @property
    def output(self) -> Value:
        """The only result."""
        (value,) = self.outputs
        return value

    __match_args__ = ("op", "inputs")


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run; a linked list, so that a change costs what it changes."""

    name: str
    inputs: list[Placeholder] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    """What the caller knows the outputs by; passes may replace the values, never the names."""
    _constants: dict[Constant, None] = field(default_factory=dict, repr=False)
    _first: Node | None = field(default=None, repr=False)
    _last: Node | None = field(default=None, repr=False)
    _names: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def constants(self) -> list[Constant]:
        return list(self._constants)

    @property
    def nodes(self) -> Iterator[Node]:
        """First to last; the node at hand may be removed, and others inserted before it."""
        node = self._first
        while node is not None:
            following = node.after
            yield node
            node = following

    @property
    def signature(self) -> Signature:
        """What it takes and gives, as the region of a node."""
        return Signature(tuple(v.type for v in self.inputs), tuple(v.type for v in self.outputs))

    def values(self) -> Iterator[Value]:
        yield from self.inputs
        yield from self._constants
        for node in self.nodes:
            yield from node.outputs

    def set_output(self, name: str, value: Value) -> None:
        """Add an output that the caller knows as ``name``."""
        self.outputs.append(value)
        self.output_names.append(name)

    def add_input(self, value: Placeholder) -> None:
        self.inputs.append(value)

    def add_constant(self, value: Constant) -> None:
        self._constants[value] = None

    def insert(self, node: Node, before: Node | None = None) -> None:
        """Put ``node`` before another, or at the end."""
        node.after = before
        node.before = before.before if before else self._last
        if node.before:
            node.before.after = node
        else:
            self._first = node
        if before:
            before.before = node
        else:
            self._last = node
        for value in node.inputs:
            value.users[node] = None

    def remove(self, node: Node) -> None:
        """Take out a node whose results nobody uses."""
        if any(value.users for value in node.outputs):
            raise InvalidIR(f"{node.op.name} {node.outputs[0]} is still used").at(node.origin)
        if node.before:
            node.before.after = node.after
        else:
            self._first = node.after
        if node.after:
            node.after.before = node.before
        else:
            self._last = node.before
        for value in node.inputs:
            value.users.pop(node, None)

    def remove_constant(self, value: Constant) -> None:
        """Take out a constant that nobody uses."""
        del self._constants[value]

    def replace(self, old: Value, new: Value) -> None:
        """Let every use of ``old`` use ``new``."""
        for node in old.users:
            node.inputs = tuple(new if v is old else v for v in node.inputs)
            new.users[node] = None
        old.users.clear()
        self.outputs = [new if v is old else v for v in self.outputs]

    def set_inputs(self, node: Node, inputs: tuple[Value, ...]) -> None:
        """Let ``node`` take other values."""
        for value in node.inputs:
            value.users.pop(node, None)
        node.inputs = inputs
        for value in inputs:
            value.users[node] = None

    def use_count(self, value: Value) -> int:
        """How often ``value`` is taken, by nodes and as an output."""
        return sum(node.inputs.count(value) for node in value.users) + self.outputs.count(value)

    def fresh_name(self, wanted: str) -> str:
        """``wanted``, or with a number if that is taken; the number takes the place of one that is there."""
        if wanted in self._names:
            stem = re.sub(r"(\.\d+)+$", "", wanted)
            number = self._names.get(stem, 0)
            while wanted in self._names:
                number += 1
                wanted = f"{stem}.{number}"
            self._names[stem] = number
        self._names[wanted] = 0
        return wanted


class Builder:
    """Adds nodes to a graph at one place, and gives names and origins to what it adds."""

    def __init__(self, graph: Graph, before: Node | None = None, origin: Origin | None = None) -> None:
        self.graph = graph
        self.before = before
        self.origin = origin or (before.origin if before else None)
        self.added: list[Node] = []

    def placeholder(self, name: str, type: TensorType) -> Placeholder:
        """A tensor that the caller brings."""
        value = Placeholder(self.graph.fresh_name(name), type)
        self.graph.add_input(value)
        return value

    def constant(self, array: Array, name: str = "c", type: TensorType | None = None) -> Constant:
        """A tensor that is known now; its type is the array's, unless a quantized one is given."""
        array = np.asarray(array)
        value = Constant(self.graph.fresh_name(name), type or TensorType.of(array), data=array)
        self.graph.add_constant(value)
        return value

    def add(self, op: Op, *inputs: Value, name: str = "") -> Value:
        """The only result of ``op`` at work on ``inputs``."""
        (value,) = self.add_all(op, *inputs, names=(name,) if name else ())
        return value

    def add_all(
        self, op: Op, *inputs: Value, names: Sequence[str] = (), regions: Sequence[Graph] = ()
    ) -> tuple[Value, ...]:
        """The results of ``op`` at work on ``inputs``, called ``names`` as far as these reach.

        The node takes ``regions`` as they are: they must be no other node's.
        """
        try:
            types = infer(op, *(value.type for value in inputs), regions=[graph.signature for graph in regions])
        except GlowError as error:
            raise error.at(self.origin) from None
        stems = (*names, *(op.name.lower() for _ in types[len(names) :]))
        outputs = tuple(Value(self.graph.fresh_name(n), t) for n, t in zip(stems, types, strict=False))
        node = Node(op, inputs, outputs, self.origin, tuple(regions))
        for value in outputs:
            value.producer = node
        self.graph.insert(node, self.before)
        self.added.append(node)
        return outputs

    def type_of(self, thing: Value) -> TensorType:
        return thing.type
