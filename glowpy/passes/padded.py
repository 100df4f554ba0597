"""Tensors with padding, and the emitter that builds a graph of them; see ``bounds``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from glowpy_ir.dims import Dim, Expr, Symbol, bind, symbols
from glowpy_ir.errors import Unsupported
from glowpy_ir.graph import Builder, Placeholder, Value
from glowpy_ir.infer import infer
from glowpy_ir.op import Composite, Op, Primitive
from glowpy_ir.ops import elementwise as ew
from glowpy_ir.ops import indexing as ix
from glowpy_ir.ops import logic
from glowpy_ir.ops import movement as mv
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Iota
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Padded:
    """A value of the bounded graph, and what of it is meant."""

    value: Value
    type: TensorType
    """As the model knows it: its dimensions are expressions of the length."""
    zeros: frozenset[int] = frozenset()
    """The padded dimensions whose padding is known to be zero."""
    continues: Value | None = None
    """The input of which this is what was and something behind it, with padding of zeros."""

    @property
    def padded(self) -> tuple[int, ...]:
        """The dimensions that have padding."""
        return tuple(d for d, dim in enumerate(self.type.shape) if isinstance(dim, Expr))


Rule = Callable[["Bounding", Op, tuple[Padded, ...]], Padded]
"""Makes what an operator makes of tensors with padding."""


@dataclass
class Bounding:
    """The new graph as far as it has come; an emitter of padded values."""

    symbol: str
    capacity: int
    b: Builder
    rules: Mapping[type[Op], Rule]
    """What becomes of operators that may meet padding, by their class or a base of it."""
    slack: int = 0
    """How much longer than the length a dimension may be."""
    least: int = 1
    """The least length for which no place is outside its tensor."""
    length: Placeholder = field(init=False)
    numbers: dict[Dim, Value] = field(default_factory=dict)

    @property
    def taken(self) -> set[str]:
        return {value.name for value in self.b.graph.inputs}

    def input(self, source: Placeholder) -> Padded:
        """An input of the model, with its padding."""
        value = self.b.placeholder(source.name, self.static(source.type))
        return Padded(value, source.type, frozenset(range(source.type.rank)))

    # ---- the emitter

    def add(self, op: Op, *inputs: Padded) -> Padded:
        (result,) = self.add_all(op, *inputs)
        return result

    def add_all(self, op: Op, *inputs: Padded) -> tuple[Padded, ...]:
        rule = next((self.rules[cls] for cls in type(op).__mro__ if cls in self.rules), None)
        if rule is not None:
            return (rule(self, op, inputs),)
        is_plain = not any(thing.padded for thing in inputs) and not any(map(has_symbols, op.attributes().values()))
        if isinstance(op, Composite) and not is_plain:
            made = op.expand(self, *inputs)
            return made if isinstance(made, tuple) else (made,)
        if not is_plain or not isinstance(op, Primitive | Composite):
            raise Unsupported(f"{op.name} cannot work on dimensions with a bound")
        values = self.b.add_all(op, *(thing.value for thing in inputs))
        return tuple(Padded(value, value.type) for value in values)

    def constant(self, array: Array) -> Padded:
        value = self.b.constant(array)
        return Padded(value, value.type)

    def type_of(self, thing: Padded) -> TensorType:
        return thing.type

    # ---- what rules are made of

    def apply(self, op: Op, *inputs: Padded, like: Op | None = None, zeros: Sequence[int] = ()) -> Padded:
        """``op`` at work on all places, padding too; ``like`` is the operator in terms of the length."""
        (type,) = infer(like or op, *(thing.type for thing in inputs))
        value = self.b.add(op, *(thing.value for thing in inputs))
        if value.type.shape != self.static(type).shape:
            raise Unsupported(f"{op.name} makes {value.type} where {type} is meant")
        padded = {d for d, dim in enumerate(type.shape) if isinstance(dim, Expr)}
        return Padded(value, type, frozenset(padded.intersection(zeros)))

    def static(self, type: TensorType) -> TensorType:
        """The type with room for every length."""
        return type.with_shape(*self.extents(type.shape))

    def extents(self, shape: Sequence[Dim]) -> tuple[int, ...]:
        return tuple(map(self.extent, shape))

    def extent(self, dim: Dim) -> int:
        """The room for a dimension; Unsupported if it is not ``a * length + c`` with a positive ``a``."""
        if isinstance(dim, int):
            return dim
        match dim.terms:
            case ((((Symbol(name, ()),), factor),)):
                rest = 0
            case ((((Symbol(name, ()),), factor), ((), rest))):
                pass
            case _:
                raise Unsupported(f"the dimension {dim} has no simple bound")
        if name != self.symbol or factor <= 0:
            raise Unsupported(f"the dimension {dim} has no simple bound")
        self.require(dim)
        self.slack = max(self.slack, -(-rest // factor))
        return factor * self.capacity

    def require(self, dim: Dim) -> None:
        """Take note that this must not be negative; Unsupported if it is for large lengths."""
        at_zero, at_one = (bind(dim, {self.symbol: n}) for n in (0, 1))
        if not (isinstance(at_zero, int) and isinstance(at_one, int)) or at_one < at_zero or (
            at_one == at_zero and at_zero < 0
        ):
            raise Unsupported(f"{dim} may be negative")
        if at_zero < 0:
            self.least = max(self.least, -(at_zero // (at_one - at_zero)))

    def number(self, dim: Dim, kind: Kind = Kind.I64) -> Value:
        """A dimension as a scalar, computed when the length is known."""
        if dim not in self.numbers:
            self.numbers[dim] = self._computed(dim)
        value = self.numbers[dim]
        return value if kind is Kind.I64 else self.b.add(Cast(kind), value)

    def _computed(self, dim: Dim) -> Value:
        if isinstance(dim, int):
            return self.b.add(ew.Splat(dim, Kind.I64))
        if symbols(dim) != {self.symbol}:
            raise Unsupported(f"the dimension {dim} depends on more than one length")
        terms = []
        for monomial, factor in dim.terms:
            factors = [self._symbol(symbol) for symbol in monomial]
            if factor != 1 or not factors:
                factors.append(self.number(factor))
            terms.append(self._chain(ew.Mul(), factors))
        return self._chain(ew.Add(), terms)

    def _chain(self, op: Op, values: list[Value]) -> Value:
        result, *others = values
        for other in others:
            result = self.b.add(op, result, other)
        return result

    def _symbol(self, symbol: Symbol) -> Value:
        if not symbol.operands:
            return self.length
        op = {"floordiv": ew.Div(), "min": ew.Min(), "max": ew.Max()}[symbol.name]
        return self.b.add(op, *map(self.number, symbol.operands))

    def masked(self, thing: Padded, axes: Sequence[int], fill: float) -> Padded:
        """``fill`` in the padding along ``axes``."""
        value, rank = thing.value, thing.type.rank
        for axis in axes:
            dim = thing.type.shape[axis]
            if not isinstance(dim, Expr) or (axis in thing.zeros and fill == 0):
                continue
            places = self.b.add(Iota(self.extent(dim)))
            is_meant = self.b.add(logic.Less(), places, self.number(dim))
            wide = tuple(self.extent(dim) if d == axis else 1 for d in range(rank))
            fills = self.b.add(ew.Splat(fill, thing.type.kind))
            value = self.b.add(logic.Select(), self.b.add(mv.Reshape(wide), is_meant), value, fills)
        zeros = thing.zeros | set(axes) if fill == 0 else thing.zeros - set(axes)
        return Padded(value, thing.type, zeros)

    def from_front(self, indices: Padded, extents: Sequence[Dim]) -> Padded:
        """Indices of which negative ones counted from the end of padded dimensions; zeros where they are padding.

        There is one dimension for all, or one for each place along the last dimension.
        """
        indices = self.masked(indices, indices.padded, 0)
        if not any(isinstance(dim, Expr) for dim in extents):
            return indices
        kind = indices.type.kind
        lengths = [self.number(dim, kind) for dim in extents]
        if len(lengths) == 1:
            length = lengths[0]
        else:
            length = self.b.add(mv.Concat(0), *(self.b.add(mv.Reshape((1,)), value) for value in lengths))
        is_negative = self.b.add(logic.Less(), indices.value, self.b.add(ew.Splat(0, kind)))
        shifted = self.b.add(ew.Add(), indices.value, length)
        value = self.b.add(logic.Select(), is_negative, shifted, indices.value)
        return Padded(value, indices.type)

    def picked(self, thing: Padded, axis: int, start: Dim, step: int, dim: Dim) -> Padded:
        """Every ``step``-th place along ``axis`` from ``start`` on, ``dim`` of them, by their numbers."""
        place = self.b.add(Iota(self.extent(dim)))
        if step != 1:
            place = self.b.add(ew.Mul(), place, self.number(step))
        place = self.b.add(ew.Add(), place, self.number(start))
        last = self.number(self.extent(thing.type.shape[axis]) - 1)
        place = self.b.add(ew.Max(), self.b.add(ew.Min(), place, last), self.number(0))
        value = self.b.add(ix.Gather(axis), thing.value, place)
        shape = (*thing.type.shape[:axis], dim, *thing.type.shape[axis + 1 :])
        return Padded(value, thing.type.with_shape(*shape), thing.zeros - {axis})


def has_symbols(attribute: object) -> bool:
    if isinstance(attribute, tuple):
        return any(map(has_symbols, attribute))
    return isinstance(attribute, Expr)
