"""What a loader gets to see of one ONNX node: its operands, its attributes, and a builder to add operators with.

A loader turns one node into operators of the graph. Its table row says from which operator version on it holds:
``LOADERS: Table = {("Clip", 6): load_clip_6, ("Clip", 11): load_clip_11}``; the newest row that is not newer than the
model's operator set is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from glowpy.onnx.attributes import Attributes
from glowpy.onnx.demands import Demand
from glowpy.onnx.folding import FoldingBuilder
from glowpy.onnx.regions import Region
from glowpy.onnx.scope import Bundle, Named, Nothing, Operand, follow
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Constant, Value
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True)
class NodeContext:
    """One ONNX node on its way into the graph."""

    b: FoldingBuilder
    """Adds operators; what works on small constants alone is computed at once and becomes a constant."""
    inputs: tuple[Operand | None, ...]
    """The operands; None for one that is left out."""
    attributes: Attributes
    opset: int
    """The version of the operator set that the node's domain has in this model."""
    result_names: tuple[str, ...]
    """What the model calls the results; empty for one that it does not want."""
    inline: Callable[..., tuple[Named, ...]]
    """Puts a nested graph in the node's place, with these operands for its inputs, and answers with its outputs.

    A loader that calls this has asked for all that it needs to know before.
    """
    region: Callable[[str], Region]
    """Begins a region of this node; its argument is what the region is called."""
    unroll: Callable[..., tuple[Named, ...]]
    """Puts down a loop iteration by iteration, given its body, trips, condition and what it carries; gives its results.

    As with ``inline``, all has been asked for before.
    """
    draw: Callable[[], int]
    """How often this node drew random numbers before: those of a loop's body do so in each iteration.

    Unsupported in a region, which is one for all iterations.
    """

    @property
    def result_count(self) -> int:
        return len(self.result_names)

    def wants(self, index: int) -> bool:
        """Whether the model uses result ``index``."""
        return index < len(self.result_names) and bool(self.result_names[index])

    def thing(self, index: int) -> Operand | None:
        """Operand ``index``, which may be a sequence or an optional; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def optional(self, index: int) -> Value | None:
        """Operand ``index``, or None if it is left out; TypeMismatch if it is no tensor."""
        thing = self.thing(index)
        if not (thing is None or isinstance(thing, Value)):
            what = "an optional that holds nothing" if isinstance(thing, Nothing) else "a sequence"
            raise TypeMismatch(f"input {index} is {what}, but must be a tensor")
        return thing

    def input(self, index: int) -> Value:
        """Operand ``index``; BadModel if it is left out, TypeMismatch if it is no tensor."""
        value = self.optional(index)
        if value is None:
            raise BadModel(f"input {index} is missing")
        return value

    def items(self, index: int) -> tuple[Operand, ...]:
        """The items of operand ``index``; TypeMismatch if it is no sequence."""
        thing = self.thing(index)
        if not isinstance(thing, Bundle):
            raise TypeMismatch(f"input {index} must be a sequence")
        return tuple(follow(item) for item in thing.items)  # type: ignore[misc]  # it was looked up as a whole

    def operands(self) -> tuple[Value, ...]:
        """All operands; BadModel if one is left out."""
        return tuple(self.input(index) for index in range(len(self.inputs)))

    def given(self) -> tuple[Value, ...]:
        """The operands that are not left out."""
        operands = (self.optional(index) for index in range(len(self.inputs)))
        return tuple(value for value in operands if value is not None)

    def type(self, index: int) -> TensorType:
        """The type of operand ``index``."""
        return self.input(index).type

    def is_known(self, index: int) -> bool:
        """Whether the elements of operand ``index`` are known now."""
        return isinstance(self.thing(index), Constant)

    def known(self, index: int) -> Array:
        """The elements of operand ``index``; Demand if they are not known now."""
        return self.demand(self.input(index), f"input {index}")

    def demand(self, value: Value, what: str) -> Array:
        """The elements of a value on which it depends how this node is imported.

        Demand if they are not known now: the node is tried again when they have been computed, and what was built for
        it stays. ``what`` names them to the user of a model that cannot be run in parts.
        """
        if isinstance(value, Constant):
            return value.data
        raise Demand(value, what)

    def known_ints(self, index: int) -> tuple[int, ...]:
        """The elements of a list (or of a scalar) of integers."""
        if not self.type(index).kind.is_integer or self.type(index).rank > 1:
            raise TypeMismatch(f"input {index} must be a list of integers, but is {self.type(index)}")
        return tuple(int(n) for n in self.known(index).reshape(-1))

    def dims(self, index: int) -> tuple[Dim, ...]:
        """As ``known_ints``, but an element may be a dimension that has no value yet."""
        value = self.input(index)
        if (tracked := self.b.dims_of(value)) is not None and value.type.rank <= 1:
            return tracked
        return self.known_ints(index)

    def constant(self, array: Array) -> Value:
        """A new constant."""
        return self.b.constant(array)


Loader = Callable[[NodeContext], Named | tuple[Named, ...]]
"""Adds operators for one node, and answers with its results in order; more than the model wants are ignored."""

Table = Mapping[tuple[str, int], Loader]
"""Loaders by operator name and by the first operator-set version for which they hold."""


def positive_axis(axis: int, rank: int) -> int:
    """``axis`` counted from the front; TypeMismatch if a tensor of ``rank`` has no such axis."""
    if not -rank <= axis < rank:
        raise TypeMismatch(f"axis {axis} is outside a tensor of {rank} dimensions")
    return axis % rank


def positive_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front; TypeMismatch if one does not exist or stands twice."""
    result = tuple(positive_axis(axis, rank) for axis in axes)
    if len(set(result)) < len(result):
        raise TypeMismatch(f"axes {tuple(axes)} name one axis twice")
    return result
