"""Derivatives of a part of a graph, in reverse mode.

The part is replayed from given values on, composites as the primitives that they consist of. Then, from the last one
to the first, each primitive hands what it got to its operands, by the rule that its kind has in a table
(Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from glowpy_ir.dims import Dim
from glowpy_ir.errors import Unsupported
from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.op import Composite, Op
from glowpy_ir.ops import elementwise, functions, linear, logic, movement, reduction
from glowpy_ir.ops.convert import Cast
from glowpy_ir.structured import Structured
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True)
class Step:
    """A primitive that was replayed."""

    b: Builder
    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def output(self) -> Value:
        """The only result."""
        (value,) = self.outputs
        return value

    def add(self, op: Op, *inputs: Value) -> Value:
        return self.b.add(op, *inputs)

    def mul(self, one: Value, other: Value) -> Value:
        return self.b.add(elementwise.Mul(), one, other)

    def div(self, one: Value, other: Value) -> Value:
        return self.b.add(elementwise.Div(), one, other)

    def neg(self, value: Value) -> Value:
        return self.b.add(functions.Neg(), value)

    def number(self, value: float) -> Value:
        """A scalar of the result's kind."""
        return self.b.add(elementwise.Splat(value, self.output.type.kind))

    def where(self, condition: Value, gradient: Value) -> Value:
        """The gradient where a condition holds, else zero."""
        return self.b.add(logic.Select(), condition, gradient, self.number(0))

    def unless(self, condition: Value, gradient: Value) -> Value:
        """The gradient where a condition does not hold, else zero."""
        return self.b.add(logic.Select(), condition, self.number(0), gradient)


Rule = Callable[[Step, Value], Value]
"""The gradient of an operand, of the gradient of the result; the shapes of operands may have been broadcast."""


def _same(_: Step, gradient: Value) -> Value:
    return gradient


def _one_minus_square(s: Step) -> Value:
    return s.add(elementwise.Sub(), s.number(1), s.mul(s.output, s.output))


def _power_of_base(s: Step, g: Value) -> Value:
    base, exponent = s.inputs
    less = s.add(elementwise.Sub(), exponent, s.number(1))
    return s.mul(g, s.mul(exponent, s.add(elementwise.Pow(), base, less)))


def _bell(s: Step, g: Value) -> Value:
    x = s.inputs[0]
    power = s.add(functions.Exp(), s.neg(s.mul(x, x)))
    return s.mul(g, s.mul(power, s.number(2 / math.sqrt(math.pi))))


def _transposed(s: Step, value: Value) -> Value:
    rank = value.type.rank
    return s.add(movement.Transpose((*range(rank - 2), rank - 1, rank - 2)), value)


def _kept(s: Step, value: Value) -> Value:
    """A reduced tensor with the dimensions that were reduced, repeated."""
    assert isinstance(s.op, reduction.Reduction)
    shape = s.inputs[0].type.shape
    ones = reduction.reduced_shape(shape, s.op.axes, True)
    return s.add(movement.Expand(shape), s.add(movement.Reshape(ones), value))


def _shared(s: Step, g: Value) -> Value:
    """For those of the elements that are the result; several of them share it."""
    assert isinstance(s.op, reduction.Reduction)
    chosen = s.add(logic.Equal(), s.inputs[0], _kept(s, s.output))
    marks = s.add(Cast(s.output.type.kind), chosen)
    count = s.add(reduction.ReduceSum(s.op.axes, s.op.keepdims), marks)
    return s.mul(marks, _kept(s, s.div(g, count)))


def _first_is_less(s: Step) -> Value:
    return s.add(logic.LessOrEqual(), *s.inputs)


def _turned(s: Step, g: Value) -> Value:
    assert isinstance(s.op, movement.Transpose)
    back = s.op.inverse(s.inputs[0].type)
    return s.add(back, g)


RULES: Mapping[type[Op], tuple[Rule | None, ...]] = {
    Cast: (lambda s, g: s.add(Cast(s.inputs[0].type.kind), g),),
    elementwise.Add: (_same, _same),
    elementwise.Div: (
        lambda s, g: s.div(g, s.inputs[1]),
        lambda s, g: s.neg(s.div(s.mul(g, s.output), s.inputs[1])),
    ),
    elementwise.Max: (lambda s, g: s.unless(_first_is_less(s), g), lambda s, g: s.where(_first_is_less(s), g)),
    elementwise.Min: (lambda s, g: s.where(_first_is_less(s), g), lambda s, g: s.unless(_first_is_less(s), g)),
    elementwise.Mul: (lambda s, g: s.mul(g, s.inputs[1]), lambda s, g: s.mul(g, s.inputs[0])),
    elementwise.Pow: (
        _power_of_base,
        lambda s, g: s.mul(g, s.mul(s.output, s.add(functions.Log(), s.inputs[0]))),
    ),
    elementwise.Sub: (_same, lambda s, g: s.neg(g)),
    functions.Abs: (lambda s, g: s.mul(g, s.add(functions.Sign(), s.inputs[0])),),
    functions.Cos: (lambda s, g: s.neg(s.mul(g, s.add(functions.Sin(), s.inputs[0]))),),
    functions.Erf: (_bell,),
    functions.Exp: (lambda s, g: s.mul(g, s.output),),
    functions.Log: (lambda s, g: s.div(g, s.inputs[0]),),
    functions.Neg: (lambda s, g: s.neg(g),),
    functions.Sigmoid: (
        lambda s, g: s.mul(g, s.mul(s.output, s.add(elementwise.Sub(), s.number(1), s.output))),
    ),
    functions.Sin: (lambda s, g: s.mul(g, s.add(functions.Cos(), s.inputs[0])),),
    functions.Sqrt: (lambda s, g: s.div(g, s.mul(s.output, s.number(2))),),
    functions.Tanh: (lambda s, g: s.mul(g, _one_minus_square(s)),),
    linear.MatMul: (
        lambda s, g: s.add(linear.MatMul(), g, _transposed(s, s.inputs[1])),
        lambda s, g: s.add(linear.MatMul(), _transposed(s, s.inputs[0]), g),
    ),
    logic.Select: (None, lambda s, g: s.where(s.inputs[0], g), lambda s, g: s.unless(s.inputs[0], g)),
    movement.Expand: (_same,),
    movement.Reshape: (lambda s, g: s.add(movement.Reshape(s.inputs[0].type.shape), g),),
    movement.Transpose: (_turned,),
    reduction.ReduceMax: (_shared,),
    reduction.ReduceMin: (_shared,),
    reduction.ReduceSum: (_kept,),
}
"""For each operand its rule, or None if nothing can be derived by it."""


@dataclass
class _Tape:
    """An emitter that notes which primitives it adds."""

    b: Builder
    steps: list[Step] = field(default_factory=list)

    def add(self, op: Op, *inputs: Value) -> Value:
        (value,) = self.add_all(op, *inputs)
        return value

    def add_all(self, op: Op, *inputs: Value) -> tuple[Value, ...]:
        if isinstance(op, Composite):
            results = op.expand(self, *inputs)
            return results if isinstance(results, tuple) else (results,)
        if isinstance(op, Structured):
            raise Unsupported(f"the gradient of {op.name} is not supported")
        outputs = self.b.add_all(op, *inputs)
        self.steps.append(Step(self.b, op, inputs, outputs))
        return outputs

    def constant(self, array: Array) -> Value:
        return self.b.constant(array)

    def type_of(self, thing: Value) -> TensorType:
        return thing.type


def gradients(b: Builder, y: Value, xs: Sequence[Value], at: Mapping[Value, Value]) -> tuple[Value, ...]:
    """The derivatives of the sum of ``y`` by each of ``xs``, in the point that ``at`` gives: a value for each of
    ``xs``, and for any others that are to be replaced.

    ``y`` is in the builder's graph. Unsupported if it does not depend on one of ``xs`` there, or if an operator on the
    way has no rule.
    """
    way = _way(list(b.graph.nodes), y, at)
    tape, now = _Tape(b), dict(at)
    for node in way:
        inputs = (now.get(value, value) for value in node.inputs)
        now.update(zip(node.outputs, tape.add_all(node.op, *inputs), strict=True))
    depends = {at[x] for x in xs}
    for step in tape.steps:
        if depends.intersection(step.inputs):
            depends.update(value for value in step.outputs if value.type.kind.is_float)
    if y not in now or now[y] not in depends:
        raise Unsupported(f"{y} does not depend on what it is derived by, as far as the graph at hand tells")
    found: dict[Value, Value] = {now[y]: b.add(elementwise.Splat(1, y.type.kind, y.type.shape))}
    for step in reversed(tape.steps):
        if not any(value in found for value in step.outputs):
            continue
        for place, value in enumerate(step.inputs):
            if value in depends:
                part = _narrowed(b, _rule(step, place)(step, found[step.output]), value.type.shape)
                found[value] = b.add(elementwise.Add(), found[value], part) if value in found else part
    zeros = (elementwise.Splat(0, x.type.kind, x.type.shape) for x in xs)
    return tuple(found.get(at[x]) or b.add(zero) for x, zero in zip(xs, zeros, strict=True))


def _way(nodes: Sequence[Node], y: Value, at: Mapping[Value, Value]) -> list[Node]:
    """The nodes between the values that are replaced and ``y``."""
    forward, touched = [], set(at)
    for node in nodes:
        if touched.intersection(node.inputs) and not touched.intersection(node.outputs):
            forward.append(node)
            touched.update(node.outputs)
    way, needed = [], {y} - set(at)
    for node in reversed(forward):
        if needed.intersection(node.outputs):
            way.append(node)
            needed.update(value for value in node.inputs if value not in at)
    return way[::-1]


def _rule(step: Step, place: int) -> Rule:
    rules = RULES.get(type(step.op), ())
    rule = rules[place] if place < len(rules) else None
    if rule is None:
        raise Unsupported(f"the gradient of {step.op.name} is not supported")
    return rule


def _narrowed(b: Builder, gradient: Value, shape: tuple[Dim, ...]) -> Value:
    """A gradient for an operand that was broadcast: summed over where it was repeated."""
    given = gradient.type.shape
    if given == shape:
        return gradient
    lead = len(given) - len(shape)
    repeated = (d for d in range(lead, len(given)) if shape[d - lead] == 1 and given[d] != 1)
    total = b.add(reduction.ReduceSum((*range(lead), *repeated)), gradient)
    return b.add(movement.Reshape(shape), total)
