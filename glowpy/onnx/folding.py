"""A builder that computes at once what works on small constants, so that shape arithmetic never enters the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from glowpy.onnx.demands import HostRequest
from glowpy.onnx.symbolic import DimArray, all_known, apply_to_dims
from glowpy_ir.dims import Dim, Expr, is_static
from glowpy_ir.errors import BadModel, GlowError, Origin
from glowpy_ir.evaluate import apply
from glowpy_ir.graph import Builder, Constant, Graph, Value
from glowpy_ir.infer import infer
from glowpy_ir.op import Hosted, Op
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.movement import Concat
from glowpy_ir.types import Array, Kind, TensorType

LIMIT = 1 << 16
"""What has more elements is left to the compiler's own constant folding."""

TRACKED_LIMIT = 1 << 10
"""The most elements of an array of dimensions."""


@dataclass
class Journal:
    """What was built for one node; when that is tried again, since it had to wait, it gets the same results again."""

    here: Callable[[Value], Value]
    """An earlier result as a value of the graph that is built now."""
    entries: list[tuple[Op, tuple[Value, ...]]] = field(default_factory=list)
    _next: int = 0

    def rewind(self) -> None:
        """Begin another try."""
        self._next = 0

    def recall(self, op: Op) -> tuple[Value, ...] | None:
        """The results of ``op`` in the try before, or None if it had not come to that."""
        if self._next < len(self.entries) and self.entries[self._next][0] == op:
            self._next += 1
            return tuple(map(self.here, self.entries[self._next - 1][1]))
        del self.entries[self._next :]
        return None

    def note(self, op: Op, results: tuple[Value, ...]) -> None:
        """Add to what was built."""
        self.entries.append((op, results))
        self._next = len(self.entries)


class FoldingBuilder(Builder):
    """A builder that folds small constants, and follows arrays of dimensions through the graph."""

    def __init__(
        self,
        graph: Graph,
        origin: Origin | None = None,
        tracked: dict[Value, DimArray] | None = None,
        journal: Journal | None = None,
        in_parts: bool = False,
    ):
        """Start to build; a model that is imported ``in_parts`` leaves all texts to the host."""
        super().__init__(graph, origin=origin)
        self.in_parts = in_parts
        self._tracked: dict[Value, DimArray] = {} if tracked is None else tracked
        self._journal = journal

    def at(self, origin: Origin, journal: Journal | None = None) -> FoldingBuilder:
        """A builder for another node of the same import."""
        return FoldingBuilder(self.graph, origin, self._tracked, journal, self.in_parts)

    def dims_of(self, value: Value) -> tuple[Dim, ...] | None:
        """The elements of ``value`` if they are dimensions that are known, as numbers or as expressions."""
        array = self._as_dims(value)
        return None if array is None else tuple(array.ravel())

    def dims(self, dims: Sequence[Dim], name: str = "shape") -> Value:
        """A list of dimensions as a tensor of i64."""
        if is_static(dims):
            return self.constant(np.array(dims, np.int64), name)
        parts = [self.add(Splat(dim, Kind.I64, (1,))) for dim in dims]
        return parts[0] if len(parts) == 1 else self.add(Concat(0), *parts, name=name)

    def add_all(
        self, op: Op, *inputs: Value, names: Sequence[str] = (), regions: Sequence[Graph] = ()
    ) -> tuple[Value, ...]:
        """As any builder; but constants if all ``inputs`` are known and small.

        Raises HostRequest for what only the host can compute.
        """
        if self._journal is None:
            return self._make(op, inputs, names, regions)
        results = self._journal.recall(op)
        if results is None:
            results = self._make(op, inputs, names, regions)
            self._journal.note(op, results)
        return results

    def _make(
        self, op: Op, inputs: tuple[Value, ...], names: Sequence[str], regions: Sequence[Graph]
    ) -> tuple[Value, ...]:
        if regions:
            return super().add_all(op, *inputs, names=names, regions=regions)
        known = [value for value in inputs if isinstance(value, Constant)]
        try:
            if len(known) == len(inputs) and not _is_open(op):
                arrays = _compute(op, known)
                if arrays is not None:
                    stems = (*names, *(op.name.lower() for _ in arrays[len(names) :]))
                    return tuple(self.constant(array, stem) for array, stem in zip(arrays, stems, strict=True))
            elif _is_open(op) or any(value in self._tracked for value in inputs):
                return self._follow(op, inputs, names)
            if isinstance(op, Hosted) or (self.in_parts and _has_texts(op, inputs)):
                raise HostRequest(op, inputs)
        except GlowError as error:
            raise error.at(self.origin) from None
        return super().add_all(op, *inputs, names=names)

    def add_unfolded(self, op: Op, *inputs: Value) -> Value:
        """As ``add``, but nothing is computed: the compiler wants to see ``op`` at work on constants."""
        (result,) = super().add_all(op, *inputs)
        return result

    def _follow(self, op: Op, inputs: tuple[Value, ...], names: Sequence[str]) -> tuple[Value, ...]:
        """Add an operator that works on dimensions; if its result is one dimension, that one in its place."""
        dims = self._dims_made(op, inputs)
        if dims is None:
            return super().add_all(op, *inputs, names=names)
        (type,) = infer(op, *(value.type for value in inputs))
        if all_known(dims):
            return (self.constant(dims.astype(type.kind.dtype), names[0] if names else op.name.lower()),)
        if dims.size == 1:
            op, inputs = Splat(dims.item(), type.kind, type.shape), ()
        results = super().add_all(op, *inputs, names=names)
        self._tracked[results[0]] = dims
        return results

    def _dims_made(self, op: Op, inputs: Sequence[Value]) -> DimArray | None:
        types = infer(op, *(value.type for value in inputs))
        if len(types) != 1 or not types[0].is_static or types[0].count > TRACKED_LIMIT:
            return None
        operands = [array for value in inputs if (array := self._as_dims(value)) is not None]
        return apply_to_dims(op, *operands) if len(operands) == len(inputs) else None

    def _as_dims(self, value: Value) -> DimArray | None:
        counts = value.type.kind.is_integer or value.type.kind is Kind.BOOL
        if isinstance(value, Constant) and counts and value.data.size <= TRACKED_LIMIT:
            array = np.empty(value.data.shape, object)
            array[...] = np.array(value.data.tolist(), object).reshape(value.data.shape)
            return array
        return self._tracked.get(value)


def _is_open(op: Op) -> bool:
    """Whether an operator makes a number that has no value yet."""
    return isinstance(op, Splat) and isinstance(op.value, Expr)


def _has_texts(op: Op, inputs: Sequence[Value]) -> bool:
    types = [value.type for value in inputs]
    return any(type.kind is Kind.STRING for type in (*types, *infer(op, *types)))


def _compute(op: Op, inputs: Sequence[Constant]) -> tuple[Array, ...] | None:
    """The results of ``op``; None if they or the operands are large."""
    given = [value.type for value in inputs]
    if not (_is_small(given) and (isinstance(op, Hosted) or _is_small(infer(op, *given)))):
        return None
    try:
        with np.errstate(all="ignore"):
            return tuple(np.asarray(array) for array in apply(op, *(value.data for value in inputs)))
    except (ArithmeticError, IndexError, ValueError, TypeError) as error:
        operands = ", ".join(map(str, given))
        raise BadModel(f"{op.name} of constants {operands} cannot be computed: {error}") from None


def _is_small(types: Sequence[TensorType]) -> bool:
    return all(type.is_static for type in types) and sum(type.count for type in types) <= LIMIT
